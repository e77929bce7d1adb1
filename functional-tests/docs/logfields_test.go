// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLogFields: the code's logs have the fields of docs/architecture.md and no
// others.
func TestLogFields(t *testing.T) {
	page, err := os.ReadFile(repository + "/docs/architecture.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Log fields\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
		listed[match[1]] = true
	}

	logged := logFields(t, sources(t, "cmd", "shim", "virtcontainers-ext", "agent-ext", "agentproto"))
	for field, where := range logged {
		assert.True(t, listed[field], "%s logs %q, which docs/architecture.md does not list", where, field)
	}
	for field := range listed {
		assert.Contains(t, logged, field, "docs/architecture.md lists a field that nobody logs")
	}
}

// logFields are the names of fields in the sources, with a folder that has them.
func logFields(t *testing.T, all []source) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for _, s := range all {
		note := func(key ast.Expr) {
			name := text(key)
			require.NotEmpty(t, name, "%s: the name of a log field is no literal", s.folder)
			fields[name] = s.folder
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				selector, ok := n.Fun.(*ast.SelectorExpr)
				switch {
				case ok && selector.Sel.Name == "WithField":
					note(n.Args[0])
				case ok && selector.Sel.Name == "WithError":
					fields["error"] = s.folder
				}
			case *ast.CompositeLit:
				if kind, ok := n.Type.(*ast.SelectorExpr); ok && kind.Sel.Name == "Fields" {
					for _, element := range n.Elts {
						pair, ok := element.(*ast.KeyValueExpr)
						require.True(t, ok)
						note(pair.Key)
					}
				}
			}
			return true
		})
	}
	return fields
}
