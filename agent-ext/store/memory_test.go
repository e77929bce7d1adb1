// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// inMemory is a new directory on a tmpfs.
func inMemory(t *testing.T) string {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("needs a tmpfs at /dev/shm")
	}
	dir, err := os.MkdirTemp("/dev/shm", "kata-tes-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestCheckMemory(t *testing.T) {
	const heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	swaps := filepath.Join(t.TempDir(), "swaps")
	dir := filepath.Join(inMemory(t), "headers")

	require.NoError(t, checkMemory(dir, swaps), "a kernel without swap")
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700)|os.ModeDir, info.Mode())

	require.NoError(t, os.WriteFile(swaps, []byte(heading), 0o600))
	require.NoError(t, checkMemory(dir, swaps))

	require.NoError(t, os.WriteFile(swaps, []byte(heading+"/dev/vdc partition 1048572 0 -2\n"), 0o600))
	err = checkMemory(dir, swaps)
	require.ErrorIs(t, err, ErrGuest)
	require.ErrorContains(t, err, "swap is on")
}

// Others could plant what we open, or read what we write.
func TestCheckMemoryOfOthers(t *testing.T) {
	parent := inMemory(t)
	dir := filepath.Join(parent, "headers")
	require.NoError(t, checkMemory(dir, "/nonexistent"))
	require.NoError(t, os.Chmod(dir, 0o770))
	err := checkMemory(dir, "/nonexistent")
	require.ErrorIs(t, err, ErrGuest)
	require.ErrorContains(t, err, "written to by others (mode 0770)")
	require.NoError(t, os.Chmod(dir, 0o700))

	link := filepath.Join(parent, "link")
	require.NoError(t, os.Symlink(dir, link))
	err = checkMemory(link, "/nonexistent")
	require.ErrorIs(t, err, ErrGuest)
	require.ErrorContains(t, err, "symbolic link")

	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(dir, 65534, 0))
		require.ErrorContains(t, checkMemory(dir, "/nonexistent"), "belongs to user 65534")
	}
}

func TestCheckMemoryOnDisk(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &st))
	if st.Type == unix.TMPFS_MAGIC {
		t.Skip("needs a temporary directory on a disk")
	}
	err := checkMemory(dir, "/proc/swaps")
	require.ErrorIs(t, err, ErrGuest)
	require.ErrorContains(t, err, "header_directory")
	require.ErrorIs(t, checkMemory("/proc/version/x", "/proc/swaps"), ErrGuest)
}
