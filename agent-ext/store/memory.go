// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrGuest says that the guest is not fit to keep a secret.
var ErrGuest = errors.New("the guest is unfit for a trusted store")

// checkPrivate makes sure that nobody else can put anything into a directory.
func checkPrivate(directory string) error {
	var st unix.Stat_t
	if err := unix.Lstat(directory, &st); err != nil {
		return fmt.Errorf("cannot be looked at: %w", err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return errors.New("is a symbolic link or no directory at all; name the directory itself in agent.toml")
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("belongs to user %d; it must be the agent extension's own", st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("can be written to by others (mode %#o); it must be the agent extension's own", st.Mode&0o777)
	}
	return nil
}

// CheckMemory makes sure that keys and headers stay in memory: the directory of
// the headers, which it makes where it is missing, is memory, and no swap is on.
// The error is ErrGuest.
func CheckMemory(headers string) error { return checkMemory(headers, "/proc/swaps") }

// checkMemory makes sure that what is meant to stay in memory does: the
// directory of the headers is memory, and memory isn't written to a swap.
func checkMemory(directory, swapsFile string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("%w: making %s: %w", ErrGuest, directory, err)
	}
	if err := checkPrivate(directory); err != nil {
		return fmt.Errorf("%w: header_directory %s %w", ErrGuest, directory, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(directory, &st); err != nil {
		return fmt.Errorf("%w: looking at %s: %w", ErrGuest, directory, err)
	}
	if st.Type != unix.TMPFS_MAGIC && st.Type != unix.RAMFS_MAGIC {
		return fmt.Errorf("%w: header_directory %s is not in memory (tmpfs or ramfs); mount a tmpfs there or name another one in agent.toml", ErrGuest, directory)
	}
	swaps, err := os.ReadFile(swapsFile) //nolint:gosec // procfs
	if errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without swap
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGuest, err)
	}
	// The first line is the heading.
	if bytes.Count(bytes.TrimSpace(swaps), []byte("\n")) > 0 {
		return fmt.Errorf("%w: swap is on, which would write keys and headers to a disk; build the guest image without swap", ErrGuest)
	}
	return nil
}
