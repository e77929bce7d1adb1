// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package generated

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// file is an example of what a configuration is read into.
type file struct {
	// Name of something:
	// a | b.
	Name string `toml:"name"`
	// Limit is a limit.
	Limit *time.Duration `toml:"limit"`
	// Loud or not.
	Loud bool `toml:"loud"`
	// Paths, the first one first.
	Paths []string        `toml:"paths"`
	Tools map[string]tool `toml:"tool"`
	Other string
}

type tool struct {
	// Path of a tool.
	Path string `toml:"path"`
}

func example() (Table, file) {
	limit := time.Minute
	table := Table{
		Package: ".",
		Types: map[reflect.Type]Type{
			reflect.TypeFor[time.Duration](): {Name: "time span", Show: func(v reflect.Value) string { return time.Duration(v.Int()).String() }},
		},
		Names: map[string]string{"tool": "NAME"},
	}
	return table, file{Limit: &limit, Paths: []string{"/a", "/b"}, Tools: map[string]tool{"x": {Path: "/x"}}}
}

func TestTable(t *testing.T) {
	table, defaults := example()
	got, err := table.Markdown(defaults)
	require.NoError(t, err)
	require.Equal(t, "| key | type | default | meaning |\n|---|---|---|---|\n"+
		"| `name` | string | none | Name of something: a \\| b. |\n"+
		"| `limit` | time span | `1m0s` | Limit is a limit. |\n"+
		"| `loud` | true or false | `false` | Loud or not. |\n"+
		"| `paths` | list of strings | `[\"/a\", \"/b\"]` | Paths, the first one first. |\n"+
		"| `tool.NAME.path` | string | `\"/x\"` | Path of a tool. |\n", got)
}

// TestTableIsComplete: what can't be shown is an error, and is not left out.
func TestTableIsComplete(t *testing.T) {
	table, defaults := example()
	table.Types = nil
	_, err := table.Markdown(defaults)
	require.ErrorContains(t, err, "file.Limit: nobody says how a *time.Duration is shown")

	table, defaults = example()
	defaults.Tools = nil
	_, err = table.Markdown(defaults)
	require.ErrorContains(t, err, "needs one element")

	table.Package = t.TempDir()
	_, err = table.Markdown(defaults)
	require.ErrorContains(t, err, "file.Name: the field has no comment")
}

func TestSection(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	const old = "above\n<!-- x: begin (from y) -->\n\nold\n\n<!-- x: end -->\nbelow\n"
	require.NoError(t, os.WriteFile(page, []byte(old), 0o600))

	require.ErrorContains(t, Section(page, "x", "new", false), "not current")
	require.NoError(t, Section(page, "x", "old", false))
	require.ErrorContains(t, Section(page, "z", "new", true), "no section")
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, old, string(content))

	require.NoError(t, Section(page, "x", "new\n", true))
	require.NoError(t, Section(page, "x", "new", false))
	content, err = os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, "above\n<!-- x: begin (from y) -->\n\nnew\n\n<!-- x: end -->\nbelow\n", string(content))
}
