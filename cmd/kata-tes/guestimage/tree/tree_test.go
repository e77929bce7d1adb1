// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// memory is a tree of paths: a folder, "→target", or contents.
type memory map[string]string

const folder = "/"

func (m memory) Lstat(_ context.Context, name string) (Entry, error) {
	content, found := m[name]
	switch {
	case !found:
		return Entry{}, fs.ErrNotExist
	case content == folder:
		return Entry{Mode: unix.S_IFDIR | 0o755, Links: 2}, nil
	case strings.HasPrefix(content, "→"):
		return Entry{Mode: unix.S_IFLNK | 0o777, Links: 1, Target: strings.TrimPrefix(content, "→")}, nil
	}
	return Entry{Mode: unix.S_IFREG | 0o644, Links: 1, Size: int64(len(content))}, nil
}

func (m memory) Read(_ context.Context, name string, _ int64) ([]byte, error) {
	return []byte(m[name]), nil
}

var guest = memory{
	"/usr": folder, "/usr/bin": folder, "/usr/bin/a": "text", "/bin": "→usr/bin", "/abs": "→/usr", "/up": "→../../../usr/bin/a",
	"/loop": "→loop", "/ping": "→/pong", "/pong": "→ping", "/dangling": "→/opt/none", "/usr/bin/self": "→.", "/etc": folder,
}

func TestResolve(t *testing.T) {
	for name, want := range map[string]string{
		"/": "/", "/usr/bin/a": "/usr/bin/a", "/bin/a": "/usr/bin/a", "/abs/bin/a": "/usr/bin/a", "/up": "/usr/bin/a",
		"/usr/../../usr/./bin//a": "/usr/bin/a", "/bin/self/self/a": "/usr/bin/a", "/bin/../bin/a": "/usr/bin/a",
	} {
		got, _, err := Resolve(t.Context(), guest, name)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for name, want := range map[string]string{"/none": "/none", "/dangling/x": "/opt/none/x", "/bin/none/more": "/usr/bin/none/more"} {
		got, _, err := Resolve(t.Context(), guest, name)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		require.Equal(t, want, got, name)
	}
	for name, words := range map[string]string{
		"/loop": "circle", "/ping/x": "circle", "/bin/a/x": "not a folder", "/none/../etc": "there is no", strings.Repeat("/a", 4000): "",
	} {
		_, _, err := Resolve(t.Context(), guest, name)
		require.ErrorContains(t, err, words, name)
	}
	got, entry, err := ResolveParent(t.Context(), guest, "/abs/bin/self")
	require.NoError(t, err)
	require.Equal(t, "/usr/bin/self", got)
	require.True(t, entry.IsLink())
}

func TestPlan(t *testing.T) {
	paths := func(files ...File) []string {
		steps, err := Plan(t.Context(), guest, files)
		require.NoError(t, err)
		var got []string
		for _, s := range steps {
			got = append(got, fmt.Sprintf("%o %s", s.Mode, s.Path))
		}
		return got
	}
	require.Empty(t, paths(Regular("/bin/a", 0o644, []byte("text"))))
	require.Equal(t, []string{"100755 /usr/bin/a"}, paths(Regular("/bin/a", 0o755, []byte("text"))))
	require.Equal(t, []string{"100644 /usr/bin/a"}, paths(Regular("/bin/a", 0o644, []byte("TEXT"))))
	require.Equal(t, []string{"100644 /usr/bin/self"}, paths(Regular("/bin/self", 0o644, nil)), "a link is replaced")
	require.Empty(t, paths(Link("/bin/self", ".")))
	require.Equal(t, []string{"120777 /usr/bin/self"}, paths(Link("/bin/self", "a")))
	require.Equal(t, []string{"40755 /opt", "40755 /opt/none", "100644 /opt/none/x", "100644 /opt/none/y"},
		paths(Regular("/dangling/x", 0o644, nil), Regular("/dangling/y", 0o644, nil)), "a folder is made once")
	for _, bad := range []File{Regular("/bin", 0o644, nil), Regular("/usr/bin", 0o644, nil), Regular("/bin/a/x", 0o644, nil), Link("/loop/x", "y")} {
		_, err := Plan(t.Context(), guest, []File{bad})
		if bad.Path == "/bin" {
			require.NoError(t, err)
			continue
		}
		require.Error(t, err, bad.Path)
	}
}

// Whatever links there are, a path ends, and is one without links.
func FuzzResolve(f *testing.F) {
	f.Add("/a/b", "a", "/b", "b", "c/..", "c", "../a")
	f.Add("/a", "a", "b", "b", "a", "c", "/")
	f.Fuzz(func(t *testing.T, name, n1, t1, n2, t2, n3, t3 string) {
		m := memory{}
		for link, target := range map[string]string{n1: t1, n2: t2, n3: t3} {
			if link != "" && !strings.Contains(link, "/") {
				m["/"+link] = "→" + target
			}
		}
		m["/d"], m["/d/e"] = folder, folder
		got, _, err := Resolve(t.Context(), m, name)
		if err != nil {
			return
		}
		require.Equal(t, path.Clean(got), got)
		require.True(t, strings.HasPrefix(got, "/"))
		again, entry, err := ResolveParent(t.Context(), m, got)
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.False(t, entry.IsLink())
	})
}
