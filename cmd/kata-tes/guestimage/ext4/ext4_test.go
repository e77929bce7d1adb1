// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// make gives a small file system with what fill puts into a folder.
func makeFS(t *testing.T, size string, fill func(root string)) *FS {
	t.Helper()
	root := t.TempDir()
	fill(root)
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		mke2fs = "/usr/sbin/mke2fs"
	}
	path := filepath.Join(t.TempDir(), "fs")
	out, err := exec.Command(mke2fs, "-q", "-t", "ext4", "-b", "4096", "-d", root, path, size).CombinedOutput()
	require.NoError(t, err, "%s", out)
	f, err := Open(path)
	require.NoError(t, err)
	return f
}

func TestRead(t *testing.T) {
	long := "/" + strings.Repeat("x", 100)
	f := makeFS(t, "4M", func(root string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, "file"), []byte("text"), 0o640))
		require.NoError(t, os.Symlink("file", filepath.Join(root, "short")))
		require.NoError(t, os.Symlink(long, filepath.Join(root, "long")))
		require.NoError(t, os.Symlink("a\"\nb", filepath.Join(root, "odd")))
	})
	require.NoError(t, f.Check(t.Context()))
	entry, err := f.Lstat(t.Context(), "/file")
	require.NoError(t, err)
	require.Equal(t, tree.Entry{Mode: unix.S_IFREG | 0o640, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Size: 4, Links: 1}, entry)
	content, err := f.Read(t.Context(), "/file", 4)
	require.NoError(t, err)
	require.Equal(t, "text", string(content))
	_, err = f.Read(t.Context(), "/file", 3)
	require.ErrorContains(t, err, "more than the 3")
	for name, target := range map[string]string{"/short": "file", "/long": long, "/odd": "a\"\nb"} {
		entry, err = f.Lstat(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, target, entry.Target)
	}
	_, err = f.Lstat(t.Context(), "/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = f.Lstat(t.Context(), "/a b")
	require.ErrorContains(t, err, "such characters")
	_, err = f.Lstat(t.Context(), "/file\nquit")
	require.ErrorContains(t, err, "such characters")
}

// A file system without room says so.
func TestFull(t *testing.T) {
	f := makeFS(t, "1M", func(string) {})
	steps := []tree.Step{{File: tree.Regular("/big", 0o644, make([]byte, 4<<20))}}
	steps[0].Content[5] = 1
	for i := range steps[0].Content {
		steps[0].Content[i] = byte(i * 7)
	}
	require.Greater(t, f.BlocksFor(steps), f.FreeBlocks())
	require.Error(t, f.Apply(t.Context(), steps))
}

func TestNotExt4(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fs")
	require.NoError(t, os.WriteFile(path, make([]byte, 100), 0o600))
	_, err := Open(path)
	require.ErrorIs(t, err, ErrNotExt4)
	require.NoError(t, os.Truncate(path, 1<<20))
	_, err = Open(path)
	require.ErrorIs(t, err, ErrNotExt4)
}

func FuzzSuperblock(f *testing.F) {
	b := make([]byte, superblockSize)
	le := binary.LittleEndian
	le.PutUint16(b[0x38:], magic)
	le.PutUint16(b[0x3a:], stateClean)
	le.PutUint32(b[0x4:], 1000)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSuperblock(b)
		if err != nil {
			return
		}
		require.LessOrEqual(t, s.freeBlocks, s.blocks)
		require.Positive(t, int64(s.blocks)*s.blockSize)
	})
}

func FuzzStat(f *testing.F) {
	f.Add("Inode: 16   Type: symlink    Mode:  0777   Flags: 0x0\n" +
		"User:     0   Group:     0   Project:     0   Size: 7\nLinks: 1   Blockcount: 0\nFast link dest: \"usr/lib\"\n")
	f.Fuzz(func(t *testing.T, out string) {
		e, err := parseStat(out)
		if err == nil && !e.IsLink() {
			require.Empty(t, e.Target)
		}
	})
}
