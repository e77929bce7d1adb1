// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// findNode sets the disk's device node: the one of devtmpfs, or one of our own
// where /dev has none of that number.
func (s System) findNode(d *Disk, name string) error {
	d.Path = filepath.Join(s.dev(), name)
	var st unix.Stat_t
	err := unix.Lstat(d.Path, &st)
	switch {
	case err == nil && isBlock(&st, d):
		return nil
	case err == nil:
		return fmt.Errorf("%w: %s is not the block device %s", ErrUnfit, d.Path, d.Number())
	case !errors.Is(err, os.ErrNotExist) || s.Nodes == "":
		return fmt.Errorf("%w: looking at %s: %w", ErrUnfit, d.Path, err)
	}
	if err := os.MkdirAll(s.Nodes, 0o700); err != nil {
		return fmt.Errorf("making a device node: %w", err)
	}
	d.Path = filepath.Join(s.Nodes, name)
	if err := os.Remove(d.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making a device node: %w", err)
	}
	if err := unix.Mknod(d.Path, unix.S_IFBLK|0o600, int(unix.Mkdev(d.Major, d.Minor))); err != nil {
		return fmt.Errorf("making the device node %s: %w", d.Path, err)
	}
	d.ownNode = true
	return nil
}

// openNode opens the disk and makes sure that it is the one with our number.
func openNode(d *Disk, flags int) (*os.File, error) {
	f, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|flags, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %s is in use: %w", ErrUnfit, d.Path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("looking at %s: %w", d.Path, err), f.Close())
	}
	if !isBlock(&st, d) {
		return nil, errors.Join(fmt.Errorf("%w: %s is not the block device %s", ErrUnfit, d.Path, d.Number()), f.Close())
	}
	return f, nil
}

func isBlock(st *unix.Stat_t, d *Disk) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFBLK && unix.Major(st.Rdev) == d.Major && unix.Minor(st.Rdev) == d.Minor
}
