// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !node

// In the node there is no repository to compare with.

package attacks

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/docs/generated"
)

var update = flag.Bool("update", false, "write the table into docs/threat-model.md")

const document = "../../docs/threat-model.md"

// TestDocument: the threat model has exactly this table.
func TestDocument(t *testing.T) {
	require.NoError(t, generated.Section(document, "attacks", Markdown(), *update))
}

// TestNamedTestsExist: what the document names as shown by a test is shown by
// one: `package.TestName`, or `group/id` of the table with * for any.
func TestNamedTestsExist(t *testing.T) {
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	written, _, _ := strings.Cut(string(text), "<!-- attacks: begin")
	names := regexp.MustCompile("`([a-z]+)\\.(Test[A-Za-z]+)`").FindAllStringSubmatch(written, -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.True(t, isTest(t, name[1], name[2]), "no test %s.%s", name[1], name[2])
	}
	patterns := regexp.MustCompile("`([a-z]+/[a-z0-9*-]+)`").FindAllStringSubmatch(written, -1)
	require.NotEmpty(t, patterns)
	for _, pattern := range patterns {
		require.True(t, isRow(t, pattern[1]), "no attack %s", pattern[1])
	}
}

// isTest looks in all packages of that name.
func isTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	for _, pattern := range []string{"../*/*_test.go", "../../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if filepath.Base(filepath.Dir(file)) != pkg {
				continue
			}
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			if strings.Contains(string(source), "\nfunc "+name+"(") {
				return true
			}
		}
	}
	return false
}

func isRow(t *testing.T, pattern string) bool {
	t.Helper()
	for _, g := range Table {
		for _, a := range g.Attacks {
			matched, err := path.Match(pattern, g.Name+"/"+a.ID)
			require.NoError(t, err)
			if matched {
				return true
			}
		}
	}
	return false
}

func TestRowsAreComplete(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, g := range Table {
		require.Regexp(t, form, g.Name)
		require.NotEmpty(t, g.Title)
		for _, a := range g.Attacks {
			name := g.Name + "/" + a.ID
			require.Regexp(t, form, a.ID)
			require.False(t, seen[name], "%s is there twice", name)
			seen[name] = true
			for _, text := range []string{a.Host, a.Must, a.Gain} {
				require.NotEmpty(t, text, name)
				require.NotContains(t, text, "\n", name)
			}
		}
	}
	require.GreaterOrEqual(t, len(seen), 25)
}

// TestEachRowHasATest reads the tests, which are built for the node only: the
// map `tests` has a key for each row, and no other.
func TestEachRowHasATest(t *testing.T) {
	rows := map[string]bool{}
	for _, g := range Table {
		for _, a := range g.Attacks {
			rows[g.Name+"/"+a.ID] = true
		}
	}
	tests := keysOfTests(t)
	for name := range rows {
		require.Contains(t, tests, name, "a row without a test")
	}
	for name := range tests {
		require.Contains(t, rows, name, "a test without a row")
	}
}

func keysOfTests(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	keys := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || !isTests(literal.Type) {
				return true
			}
			for _, element := range literal.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				require.True(t, ok)
				key, ok := pair.Key.(*ast.BasicLit)
				require.True(t, ok, "a key that is no literal")
				text, err := strconv.Unquote(key.Value)
				require.NoError(t, err)
				keys[text] = true
			}
			return false
		})
	}
	return keys
}

// isTests: the type `tests` of the node's files.
func isTests(expression ast.Expr) bool {
	name, ok := expression.(*ast.Ident)
	return ok && name.Name == "tests"
}
