// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// newTree makes files (and, with a value that begins with "->", links).
func newTree(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		if target, isLink := cut(content); isLink {
			require.NoError(t, os.Symlink(target, name))
			continue
		}
		mode := fs.FileMode(0o644)
		if content == program {
			mode = 0o755
		}
		require.NoError(t, os.WriteFile(name, []byte(content), mode))
	}
	tree, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tree.Close()) })
	return tree
}

const program = "program"

func cut(content string) (string, bool) {
	if len(content) > 2 && content[:2] == "->" {
		return content[2:], true
	}
	return "", false
}

func TestResolve(t *testing.T) {
	tree := newTree(t, map[string]string{
		"/data/file": "x", "/absolute": "->/data/file", "/etc/relative": "->../data", "/up": "->../../../../data/file",
		"/circle": "->/circle", "/chain": "->/etc/relative/file", "/dangling": "->/not/there", "/file/../a": "x",
	})
	for name, want := range map[string]string{
		"/": "/", "/data/file": "/data/file", "/absolute": "/data/file", "/etc/relative/file": "/data/file", "/up": "/data/file",
		"/chain": "/data/file", "/dangling": "/not/there", "/none/x": "/none/x", "/data/../data/./file": "/data/file", "/data/file/below": "/data/file/below",
	} {
		have, err := tree.Resolve(name)
		require.NoError(t, err, name)
		require.Equal(t, want, have, name)
	}
	_, err := tree.Resolve("/circle")
	require.ErrorContains(t, err, "symbolic links")
}

func TestReadIsOfConfigurationsOnly(t *testing.T) {
	tree := newTree(t, map[string]string{"/file": "x", "/out": "->/etc/hostname", "/large": string(make([]byte, maxConfig+1))})
	require.NoError(t, unix.Mkfifo(filepath.Join(tree.Dir(), "pipe"), 0o600))
	content, err := tree.Read("/file")
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
	for _, name := range []string{"/out", "/none", "/file/below"} {
		_, err := tree.Read(name)
		require.Error(t, err, name)
		require.ErrorContains(t, err, name)
	}
	_, err = tree.Read("/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = tree.Read("/pipe")
	require.ErrorContains(t, err, "not a regular file")
	_, err = tree.Read("/large")
	require.ErrorContains(t, err, "more than")
}

func TestWith(t *testing.T) {
	tree := newTree(t, map[string]string{"/d/a": "a", "/d/b": "b"})
	changed := tree.With(map[string][]byte{"/d/a": nil, "/d/c": []byte("c"), "/new/x": {}}).With(map[string][]byte{"/d/b": []byte("B")})
	names, err := changed.List("/d")
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, names)
	names, err = changed.List("/new")
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, names)
	content, err := changed.Read("/d/b")
	require.NoError(t, err)
	require.Equal(t, "B", string(content))
	_, err = changed.Read("/d/a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for name, want := range map[string]bool{"/d/a": false, "/d/c": true, "/new/x": true, "/none": false} {
		have, err := changed.Exists(name)
		require.NoError(t, err)
		require.Equal(t, want, have, name)
	}
	names, err = tree.List("/d")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, names, "the tree itself stays")
}
