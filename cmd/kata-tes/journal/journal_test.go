// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
	"github.com/stretchr/testify/require"
)

// What install does with a journal is tested there, with a crash at every
// operation; here are the parts.

func TestBlock(t *testing.T) {
	b := Block{Begin: "# begin", End: "# end"}
	for text, want := range map[string]string{
		"":               "",
		"a\n":            "a\n",
		"no end of line": "no end of line\n",
	} {
		with := b.Append([]byte(text), "x = 1\n")
		require.Contains(t, string(with), "# begin\nx = 1\n# end\n")
		require.Equal(t, want, string(b.remove(with)))
	}
	require.Equal(t, "a\nb\n", string(b.remove([]byte("a\n# begin\r\nx\r\n# end\r\nb\n"))))
	unfinished := "a\n# begin\nsomebody's\n"
	require.Equal(t, unfinished, string(b.remove([]byte(unfinished))), "nobody knows what is ours")
}

func TestUndoOfEditsGoesBackwards(t *testing.T) {
	first, one, err := tomledit.Set([]byte("a = 1\n"), []string{"a"}, "2", "")
	require.NoError(t, err)
	second, two, err := tomledit.Set(first, []string{"a"}, "3", "")
	require.NoError(t, err)
	text, err := undo(second, []Edit{{Value: one}, {Value: two}})
	require.NoError(t, err)
	require.Equal(t, "a = 1\n", string(text))
}

func TestTemporaryNames(t *testing.T) {
	require.Equal(t, "/usr/bin/.x.kata-tes-new", temporary("/usr/bin/x"))
	require.Equal(t, "/etc/kata/.config.d.90.toml.kata-tes-new", temporary("/etc/kata/config.d/90.toml"), "Kata reads every file of config.d")
}

func open(t *testing.T, root string) *Journal {
	t.Helper()
	tree, err := node.Open(root)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tree.Close()) })
	j, err := Open(tree)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

func TestModeAndContentComeBack(t *testing.T) {
	root := t.TempDir()
	name := filepath.Join(root, "program")
	require.NoError(t, os.WriteFile(name, []byte("theirs"), 0o600))
	require.NoError(t, os.Chmod(name, 0o755|os.ModeSetuid))
	require.NoError(t, os.Mkdir(filepath.Join(root, "var"), 0o755))
	j := open(t, root)
	transaction, err := j.Begin([]File{{Path: "/program", Content: []byte("ours"), Mode: 0o700}, {Path: "/a/b/c", Content: nil, Mode: 0o640}}, nil)
	require.NoError(t, err)
	require.True(t, j.CutOff())
	require.NoError(t, transaction.Commit(nil))
	require.False(t, j.CutOff())
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode())
	require.FileExists(t, filepath.Join(root, "a/b/c"))

	transaction, err = j.Begin(nil, nil)
	require.NoError(t, err)
	require.NoError(t, transaction.Commit(nil))
	info, err = os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, 0o755|os.ModeSetuid, info.Mode())
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, entries, 2, "program and var, and nothing in it: %v", entries)
	require.NoDirExists(t, filepath.Join(root, "var/lib"))
}

func TestADamagedRecord(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "/var/lib"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "f"), []byte("theirs"), 0o644))
	j := open(t, root)
	transaction, err := j.Begin([]File{{Path: "/f", Content: []byte("ours"), Mode: 0o644}}, nil)
	require.NoError(t, err)
	require.NoError(t, transaction.Commit(nil))
	saved, err := filepath.Glob(filepath.Join(root, beforeFolder, "*"))
	require.NoError(t, err)
	require.Len(t, saved, 1)
	require.NoError(t, os.WriteFile(saved[0], []byte("other"), 0o600))
	j.base = nil
	_, err = j.Begin(nil, nil)
	require.ErrorIs(t, err, ErrRecord)
	content, err := os.ReadFile(filepath.Join(root, "f"))
	require.NoError(t, err)
	require.Equal(t, "ours", string(content))

	require.NoError(t, os.WriteFile(filepath.Join(root, recordFile), []byte("{"), 0o600))
	_, err = j.disk.readRecord()
	require.ErrorIs(t, err, ErrRecord)
}

// TestAFileThatNobodyMayWrite: all others are put back, although that one cannot
// be written in either direction.
func TestAFileThatNobodyMayWrite(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "/var/lib"), 0o755))
	j := open(t, root)
	refused := errors.New("refused")
	j.Intercept(func(operation, name string) error {
		if operation == "rename" && name == "/stiff" {
			return refused
		}
		return nil
	})
	_, err := j.Begin([]File{{Path: "/a/first", Mode: 0o644}, {Path: "/stiff", Mode: 0o644}}, nil)
	require.ErrorIs(t, err, refused)
	require.NotContains(t, err.Error(), "taking back")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoDirExists(t, filepath.Join(root, Folder))
}

func FuzzBlock(f *testing.F) {
	f.Add([]byte("a = 1\n# begin\nx\n# end\n"))
	f.Add([]byte("# begin\n"))
	f.Add([]byte("\r\n# end\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := Block{Begin: "# begin", End: "# end"}
		without := b.remove(text)
		if string(b.remove(without)) != string(without) {
			t.Fatalf("%q: what is left is %q, and not stable", text, without)
		}
		if bytes.Contains(without, []byte(b.Begin)) {
			return
		}
		want := string(without)
		if want != "" && want[len(want)-1] != '\n' {
			want += "\n"
		}
		if back := b.remove(b.Append(without, "x = 1\n")); string(back) != want {
			t.Fatalf("%q came back as %q", want, back)
		}
	})
}
