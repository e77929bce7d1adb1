// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tomledit

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"
)

var handler = []string{"plugins", "io.containerd.grpc.v1.cri", "containerd", "runtimes", "kata"}

func under(names ...string) []string { return append(append([]string{}, handler...), names...) }

func TestSet(t *testing.T) {
	const head = "# keep me\nversion = 2\n\n"
	for name, test := range map[string]struct {
		path         []string
		text, edited string
		notTheSame   bool
	}{
		"a line": {
			path:   under("runtime_type"),
			text:   head + "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n\truntime_type   =  'old' # why\n",
			edited: head + "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n\truntime_type   =  \"new\" # why\n",
		},
		"with Windows' line ends": {
			path:   under("runtime_path"),
			text:   "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\r\n  runtime_type = 'old'\r\n[x]\r\n",
			edited: "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\r\n  runtime_type = 'old'\r\n  runtime_path = \"new\"\r\n[x]\r\n",
		},
		"a key behind its neighbour": {
			path:   under("runtime_path"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\n  runtime_type = 'old' # c\n  other = [\n 1]\n[x]\n",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\n  runtime_type = 'old' # c\n  runtime_path = \"new\"\n  other = [\n 1]\n[x]\n",
		},
		"a key behind the last line, which has no end": {
			path:   under("runtime_path"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\n  a = 1",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\n  a = 1\n  runtime_path = \"new\"",
		},
		"a key of an empty table": {
			path:   under("options", "ConfigPath"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata.options]\n",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata.options]\n  ConfigPath = \"new\"\n",
		},
		"a table that is not there": {
			path:   under("options", "ConfigPath"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\n    runtime_type = 'old'\n",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\n    runtime_type = 'old'\n    options = { ConfigPath = \"new\" }\n",
		},
		"an inline table": {
			path:   under("runtime_path"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes]\nkata = { runtime_type = 'old', options = { A = 1 } } # c\n",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes]\nkata = { runtime_type = 'old', options = { A = 1 }, runtime_path = \"new\" } # c\n",
		},
		"a value in an inline table": {
			path:   under("runtime_type"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes]\nkata = { runtime_type = 'old', b = 1 }\n",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes]\nkata = { runtime_type = \"new\", b = 1 }\n",
		},
		"dotted keys": {
			path:   under("runtime_path"),
			text:   "[plugins.'io.containerd.grpc.v1.cri'.containerd]\nruntimes.kata.runtime_type = 'old'\nruntimes.b.runtime_type = 'b'\n",
			edited: "[plugins.'io.containerd.grpc.v1.cri'.containerd]\nruntimes.kata.runtime_type = 'old'\nruntimes.kata.runtime_path = \"new\"\nruntimes.b.runtime_type = 'b'\n",
		},
		"the root table of an empty file": {path: []string{"version"}, text: "", edited: "version = \"new\"\n"},
		"the root table before a header":  {path: []string{"a"}, text: "# c\n[x]\n", edited: "a = \"new\"\n# c\n[x]\n"},
		"an empty inline table": {
			path: []string{"a", "b"}, text: "a = {}\n", edited: "a = { b = \"new\" }\n", notTheSame: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			edited, change, err := Set([]byte(test.text), test.path, `"new"`, "runtime_type")
			require.NoError(t, err)
			require.Equal(t, test.edited, string(edited))

			again, none, err := Set(edited, test.path, `"new"`, "runtime_type")
			require.NoError(t, err)
			require.Nil(t, none)
			require.Equal(t, edited, again)

			undone, err := Undo(edited, *change)
			require.NoError(t, err)
			if !test.notTheSame {
				require.Equal(t, test.text, string(undone))
			}
			same(t, test.text, string(undone))
		})
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	var one, other map[string]any
	require.NoError(t, toml.Unmarshal([]byte(a), &one))
	require.NoError(t, toml.Unmarshal([]byte(b), &other))
	require.Equal(t, one, other)
}

func TestAppend(t *testing.T) {
	for text, want := range map[string]string{
		"version = 3\n[x]\n":    "version = 3\nimports = [\"new\"]\n[x]\n",
		"# c\n[x]\n":            "imports = [\"new\"]\n# c\n[x]\n",
		"imports = []\n":        "imports = [\"new\"]\n",
		"imports = ['a'] # c\n": "imports = ['a', \"new\"] # c\n",
		"imports = [\n  \"a\", # first\n  'b',\n]\n":  "imports = [\n  \"a\", # first\n  'b', \"new\",\n]\n",
		"imports = [\"\\u0061\"]\nversion = 2":        "imports = [\"\\u0061\", \"new\"]\nversion = 2",
		"imports = [\"\"\"a\nb\"\"\", 'c']\n":         "imports = [\"\"\"a\nb\"\"\", 'c', \"new\"]\n",
		"disabled = ['x']\nversion = 2\nroot = '/'\n": "disabled = ['x']\nversion = 2\nimports = [\"new\"]\nroot = '/'\n",
	} {
		edited, change, err := Append([]byte(text), []string{"imports"}, "new", "version")
		require.NoError(t, err, text)
		require.Equal(t, want, string(edited))
		_, none, err := Append(edited, []string{"imports"}, "new", "version")
		require.NoError(t, err)
		require.Nil(t, none)
		undone, err := Undo(edited, *change)
		require.NoError(t, err)
		if !strings.Contains(text, "[]") {
			require.Equal(t, text, string(undone))
		}
	}
	for _, text := range []string{"imports = 5\n", "imports = [1]\n", "imports = [['a']]\n", "[[imports]]\n"} {
		_, _, err := Append([]byte(text), []string{"imports"}, "new", "version")
		require.Error(t, err, text)
	}
}

func TestUndoLeavesWhatOthersDid(t *testing.T) {
	const text = "[h]\ntype = 'old'\n"
	edited, first, err := Set([]byte(text), []string{"h", "type"}, `"ours"`, "")
	require.NoError(t, err)
	edited, second, err := Set(edited, []string{"h", "path"}, `"/p"`, "type")
	require.NoError(t, err)

	others := strings.Replace(string(edited), `"ours"`, `"theirs"`, 1) + "[other]\nkey = 1\n"
	undone, err := Undo([]byte(others), *first)
	require.NoError(t, err)
	require.Equal(t, others, string(undone), "a value that is no longer ours")
	undone, err = Undo(undone, *second)
	require.NoError(t, err)
	require.Equal(t, "[h]\ntype = \"theirs\"\n[other]\nkey = 1\n", string(undone))

	undone, err = Undo([]byte("x = 1\n"), *first)
	require.NoError(t, err)
	require.Equal(t, "x = 1\n", string(undone), "a key that is gone")
}

func TestUndoOfAnElementAmongOthers(t *testing.T) {
	ours := Change{Path: []string{"imports"}, Element: "b"}
	for text, want := range map[string]string{
		"imports = ['a', 'b', 'c']\n": "imports = ['a', 'c']\n",
		"imports = ['b', 'c']\n":      "imports = ['c']\n",
		"imports = ['a']\n":           "imports = ['a']\n",
		"version = 1\n":               "version = 1\n",
	} {
		undone, err := Undo([]byte(text), ours)
		require.NoError(t, err)
		require.Equal(t, want, string(undone))
	}
}

func TestWhatCannotBeEdited(t *testing.T) {
	for name, text := range map[string]string{
		"no TOML":                "[h\n",
		"twice the same key":     "[h]\na = 1\na = 2\n",
		"an element of an array": "[[h]]\na = 1\n",
		"a value for a table":    "h = 5\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Set([]byte(text), []string{"h", "b"}, "1", "")
			require.Error(t, err)
		})
	}
	_, _, err := Set([]byte("a = 1\n"), []string{"a"}, "nonsense", "")
	require.Error(t, err)
}

func TestQuote(t *testing.T) {
	for _, text := range []string{"", "/a b", `"`, `\`, "\n\t\x00\x7f", "ü🙂"} {
		value, err := decode(Quote(text))
		require.NoError(t, err)
		require.Equal(t, text, value)
	}
}

func FuzzEdit(f *testing.F) {
	for _, text := range []string{
		"", "version = 2\nimports = ['a']\n[h]\ntype = 'x'\n", "h = { type = 'x', options = {} }\n", "h.type = 'x'\r\nh.b = '''\n'''\n",
		"[[h]]\ntype = 1\n", "[h]\n[h.options]\nA = [1, [2], { a = 1 }]\n", "h = {\n type = 'a', # c\n}\n", "[a.h]\n[h.options.b]\n",
	} {
		f.Add([]byte(text), "new")
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		for _, path := range [][]string{{"h", "type"}, {"h", "path"}, {"h", "options", "ConfigPath"}, {"version"}} {
			raw := Quote(strings.ToValidUTF8(value, ""))
			edited, change, err := Set(text, path, raw, "type")
			if err != nil || change == nil {
				continue
			}
			if written, found, err := Get(edited, path...); err != nil || !found || written != raw {
				t.Fatalf("%q: %q, %v, %v", edited, written, found, err)
			}
			undone, err := Undo(edited, *change)
			if err != nil {
				// It may refuse, but must not damage.
				continue
			}
			if change.Before != nil && string(undone) != string(text) {
				t.Fatalf("%q became %q and then %q", text, edited, undone)
			}
		}
		if edited, change, err := Append(text, []string{"imports"}, "new", "version"); err == nil && change != nil {
			if _, none, err := Append(edited, []string{"imports"}, "new", "version"); err != nil || none != nil {
				t.Fatalf("%q: %v, %v", edited, none, err)
			}
		}
	})
}
