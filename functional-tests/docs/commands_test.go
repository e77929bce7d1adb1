// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/command"
)

var (
	// shown is what a page has as code, invocation a call of kata-tes in it.
	shown      = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	invocation = regexp.MustCompile(`(?m)^\s*kata-tes ([a-z][a-z-]*)([^\n|;#)]*)`)
	option     = regexp.MustCompile(`(?:^|\s)(--[a-z-]+|-[a-z])\b`)
)

// TestCommandsAreKnown: the commands and flags that pages show are kata-tes'.
func TestCommandsAreKnown(t *testing.T) {
	calls := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, span := range shown.FindAllString(string(content), -1) {
			span = strings.Trim(strings.ReplaceAll(span, "\\\n", " "), "`")
			for _, call := range invocation.FindAllStringSubmatch(span, -1) {
				calls++
				help, known := helpOf(t, call[1])
				if !assert.True(t, known, "%s: kata-tes has no command %q", page, call[1]) {
					continue
				}
				for _, flag := range option.FindAllStringSubmatch(call[2], -1) {
					assert.Regexp(t, regexp.QuoteMeta(flag[1])+`\b`, help, "%s: kata-tes %s has no %s", page, call[1], flag[1])
				}
			}
		}
	}
	require.NotZero(t, calls)
}

// helpOf is what a command says of itself.
func helpOf(t *testing.T, name string) (help string, known bool) {
	t.Helper()
	var out, wrong bytes.Buffer
	status := command.Run(t.Context(), "test", command.Streams{Out: &out, Err: &wrong}, []string{name, "--help"})
	return out.String(), status == command.Done && strings.Contains(out.String(), "kata-tes "+name)
}
