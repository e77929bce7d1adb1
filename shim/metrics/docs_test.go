// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table of docs/observability.md")

const (
	document = "../../docs/observability.md"
	begin    = "<!-- metrics: written by go test ./shim/metrics -run Docs -update -->\n"
	end      = "<!-- end of metrics -->\n"
)

// table describes all metrics to a person.
func table() string {
	var b strings.Builder
	b.WriteString("| metric | type | label | what |\n|---|---|---|---|\n")
	for _, d := range Describe() {
		label := d.Label
		switch {
		case d.Label != "" && len(d.Values) > 10:
			label = fmt.Sprintf("`%s`, [see below](#%ss)", d.Label, d.Label)
		case d.Label != "":
			label = fmt.Sprintf("`%s`: `%s`", d.Label, strings.Join(d.Values, "`, `"))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, label, d.Help)
	}
	return b.String()
}

// TestDocs: the document has the metrics that the code has, and each reason.
func TestDocs(t *testing.T) {
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), begin)
	require.True(t, found)
	shown, after, found := strings.Cut(rest, end)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(document, []byte(before+begin+table()+end+after), 0o600))
		return
	}
	require.Equal(t, table(), shown, "go test ./shim/metrics -run Docs -update writes it")

	_, section, found := strings.Cut(after, "\n### Reasons\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	for _, reason := range reasons {
		require.Equal(t, 1, strings.Count(section, "`"+reason+"`"), reason)
	}
}
