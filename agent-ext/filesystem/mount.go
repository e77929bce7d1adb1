// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mount mounts the device's file system at a checked mount point. No options:
// the kernel's defaults are rw,relatime, as in the proposal, and images may
// have set-user-ID programs.
func (t Type) Mount(device, at string) error { return mountAs(t.Name, device, at) }

func mountAs(kind, device, at string) (err error) {
	dir, err := openMountPoint(at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := unix.Mount(device, procPath(dir), kind, 0, ""); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", device, at, err)
	}
	return nil
}

// Bind shows the mount at from at a second, checked mount point.
func Bind(from, at string) (err error) {
	source, err := openDirectory(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	dir, err := openMountPoint(at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := unix.Mount(procPath(source), procPath(dir), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", from, at, err)
	}
	return nil
}

// Unmount takes the mount of the device away. Nothing mounted there is a
// success; another file system on top of ours, or open files, are ErrInUse.
func Unmount(device, at string) error {
	mounted, err := mountedDevice(at)
	if err != nil || mounted == 0 {
		return err
	}
	ours, err := deviceNumber(device)
	if err != nil {
		return err
	}
	if mounted != ours {
		return fmt.Errorf("%w: another file system is mounted over it at %s", ErrInUse, at)
	}
	err = unix.Unmount(at, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: unmounting %s: %w", ErrInUse, at, err)
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", at, err)
	}
	return nil
}

// Mounted says whether the device's file system is what is seen at the path.
func Mounted(device, at string) (bool, error) {
	mounted, err := mountedDevice(at)
	if err != nil || mounted == 0 {
		return false, err
	}
	ours, err := deviceNumber(device)
	return err == nil && mounted == ours, err
}

// mountedDevice is the device number of what is mounted at the path, 0 for
// nothing.
func mountedDevice(at string) (_ uint64, err error) {
	dir, err := openDirectory(at)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	mounted, err := isMountRoot(dir)
	if err != nil || !mounted {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", at, err)
	}
	return st.Dev, nil
}

func deviceNumber(device string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", device, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, fmt.Errorf("%s is not a block device", device)
	}
	return st.Rdev, nil
}
