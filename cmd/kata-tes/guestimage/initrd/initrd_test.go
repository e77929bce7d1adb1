// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package initrd

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// file is an entry of a test's archive.
type file struct {
	name    string
	mode    uint32
	content string
}

const (
	dir  = unix.S_IFDIR | 0o755
	reg  = unix.S_IFREG | 0o644
	link = unix.S_IFLNK | 0o777
)

func archive(files ...file) []byte {
	var b []byte
	for i, f := range files {
		b = appendEntry(b, header{ino: uint32(i + 1), mode: f.mode, nlink: 1, name: f.name}, []byte(f.content))
	}
	return appendEntry(b, header{name: trailer}, nil)
}

func open(t *testing.T, initrd []byte) *Archive {
	t.Helper()
	a, err := Open(t.Context(), bytes.NewReader(initrd), int64(len(initrd)), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func compressed(t *testing.T, program string, content []byte) []byte {
	t.Helper()
	cmd := exec.Command(program, "-c")
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	require.NoError(t, err, program)
	return out
}

// The kernel's rules: init/initramfs.c, do_name and clean_path.
func TestAsTheKernelUnpacks(t *testing.T) {
	first := archive(
		file{"usr", dir, ""}, file{"usr/lib", dir, ""}, file{"lib", link, "usr/lib"},
		file{"lib/a", reg, "one"}, file{"./usr/lib/b", reg, "two"}, file{"/usr/lib/c", reg, "three"},
		file{"none/x", reg, "no folder"}, file{"usr/lib/a/x", reg, "below a file"},
		file{"l", link, "first"}, file{"f", reg, "file"}, file{"d", dir, ""}, file{"d/x", reg, "x"}, file{"e", dir, ""},
	)
	second := archive(
		file{"l", link, "second"}, file{"f", link, "b"}, file{"d", reg, "file"}, file{"e", reg, "now a file"}, file{"usr/lib/a", reg, "changed"},
	)
	a := open(t, append(first, second...))
	read := func(name string) string {
		content, err := tree.ReadFile(t.Context(), a, name, 100)
		require.NoError(t, err, name)
		return string(content)
	}
	require.Equal(t, "changed", read("/lib/a"))
	require.Equal(t, "two", read("/usr/lib/b"))
	require.Equal(t, "three", read("/usr/lib/c"))
	require.Equal(t, "now a file", read("/e"))
	require.Equal(t, "x", read("/d/x"), "a folder with files in it stays")
	require.Equal(t, "first", a.nodes["/l"].Target, "a link doesn't replace a link")
	require.Equal(t, "b", a.nodes["/f"].Target)
	require.NotContains(t, a.nodes, "/none/x")
	require.NotContains(t, a.nodes, "/usr/lib/a/x")
}

func TestRefused(t *testing.T) {
	good := archive(file{"a", reg, "x"})
	many := func(name string) []byte { return archive(file{name, reg, ""}) }
	for name, c := range map[string]struct {
		initrd []byte
		words  string
	}{
		"nothing":       {nil, "no initrd"},
		"zeros":         {make([]byte, 5000), "no initrd"},
		"text":          {[]byte("#!/bin/sh\n"), "no initrd"},
		"out of it":     {many("../etc/passwd"), "leads out"},
		"out, later":    {many("a/b/../../../c"), "leads out"},
		"name too long": {many(strings.Repeat("a/", 3000)), "a name of"},
		"name with NUL": {many("a\x00b"), "a name that"},
		"empty link":    {archive(file{"a", link, ""}), "a target of"},
		"bzip2":         {[]byte("BZh91AY&SY"), "bzip2"},
		"no trailer":    {good[:len(good)-124], "cut off"},
		"not aligned":   {append(bytes.Clone(good), append([]byte{0, 0}, good...)...), "multiple of 4"},
		"size beyond":   {bytes.Replace(good, []byte("00000001000000000000000000000000"), []byte("fffffff0000000000000000000000000"), 1), "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), bytes.NewReader(c.initrd), int64(len(c.initrd)), t.TempDir())
			require.ErrorContains(t, err, c.words)
		})
	}
}

func TestAppendix(t *testing.T) {
	base := append(archive(file{"usr", dir, ""}, file{"usr/bin", dir, ""}), make([]byte, 300)...)
	files := []tree.File{tree.Regular("/usr/bin/x", 0o755, []byte("program")), tree.Link("/etc/x", "/usr/bin/x")}
	a := open(t, base)
	steps, err := tree.Plan(t.Context(), a, files)
	require.NoError(t, err)
	appendix, err := Appendix(steps)
	require.NoError(t, err)
	whole := append(append(bytes.Clone(base), make([]byte, Padding(int64(len(base))))...), appendix...)
	b := open(t, whole)
	left, err := tree.Plan(t.Context(), b, files)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, int64(len(whole)-len(appendix)), b.Base(int64(len(whole))))
	require.Equal(t, int64(len(base)), a.Base(int64(len(base))))
}

// An archive that asks for gigabytes is not unpacked.
func TestMuchContent(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(make([]byte, 10<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	a := &Archive{folder: t.TempDir(), room: 1 << 20, nodes: map[string]node{}, contents: map[linkKey]node{}}
	_, err = a.load(t.Context(), bytes.NewReader(packed.Bytes()), 0, int64(packed.Len()))
	require.ErrorContains(t, err, "more than a guest holds")
	require.NoError(t, a.Close())
	left, err := os.ReadDir(a.folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

// Where a compressed archive ends is found though something comes behind it.
func FuzzOpen(f *testing.F) {
	plain := archive(file{"usr", dir, ""}, file{"usr/a", reg, strings.Repeat("text ", 200)}, file{"lib", link, "usr"}, file{"lib/b", reg, "b"})
	f.Add(plain)
	f.Add(append(archive(file{"kernel", dir, ""}), plain...))
	for _, program := range []string{"gzip", "zstd", "xz"} {
		cmd := exec.Command(program, "-c")
		cmd.Stdin = bytes.NewReader(plain)
		out, err := cmd.Output()
		if err != nil {
			f.Fatalf("%s: %v", program, err)
		}
		f.Add(out)
		f.Add(append(append(bytes.Clone(out), make([]byte, Padding(int64(len(out))))...), plain...))
	}
	f.Fuzz(func(t *testing.T, initrd []byte) {
		folder := t.TempDir()
		a, err := Open(t.Context(), bytes.NewReader(initrd), int64(len(initrd)), folder)
		if err == nil {
			for name := range a.nodes {
				require.Equal(t, path.Clean(name), name)
				require.True(t, strings.HasPrefix(name, "/"))
			}
			_, err := tree.ReadFile(t.Context(), a, "/lib/b", 1<<20)
			_ = err // it may be there or not
			last := int64(0)
			for _, s := range a.segments {
				require.GreaterOrEqual(t, s.start, last)
				require.Greater(t, s.end, s.start)
				last = s.end
			}
			require.LessOrEqual(t, last, int64(len(initrd)))
			require.NoError(t, a.Close())
		}
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestSegments(t *testing.T) {
	plain := archive(file{"a", reg, strings.Repeat("text ", 30000)})
	for _, program := range []string{"gzip", "zstd", "xz"} {
		out := compressed(t, program, plain)
		whole := append(append(bytes.Clone(out), make([]byte, Padding(int64(len(out))))...), archive(file{"b", reg, "b"})...)
		a := open(t, whole)
		require.Len(t, a.segments, 2, program)
		require.Equal(t, int64(len(out)), a.segments[0].end, program)
	}
}
