// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type fileSystem struct {
	kind, target, options string
	flags                 uintptr
}

var fileSystems = []fileSystem{
	{kind: "proc", target: "/proc", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{kind: "sysfs", target: "/sys", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{kind: "devtmpfs", target: "/dev", flags: unix.MS_NOSUID, options: "mode=0755"},
	{kind: "devpts", target: "/dev/pts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, options: "mode=0620,ptmxmode=0666"},
	{kind: "tmpfs", target: "/dev/shm", flags: unix.MS_NOSUID | unix.MS_NODEV},
	{kind: "tmpfs", target: "/run", flags: unix.MS_NOSUID | unix.MS_NODEV, options: "mode=0755"},
	{kind: "tmpfs", target: "/tmp", flags: unix.MS_NOSUID | unix.MS_NODEV},
	{kind: "cgroup2", target: "/sys/fs/cgroup", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
}

func mountAll() error {
	for _, fs := range fileSystems {
		if err := os.MkdirAll(fs.target, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", fs.target, err)
		}
		if err := unix.Mount(fs.kind, fs.target, fs.kind, fs.flags, fs.options); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", fs.kind, fs.target, err)
		}
	}
	// As systemd does: a mount shows in namespaces that are made later.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the mounts: %w", err)
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
		"/etc/mtab": "/proc/self/mounts",
	} {
		if err := os.Symlink(target, link); err != nil && !os.IsExist(err) {
			return fmt.Errorf("linking %s: %w", link, err)
		}
	}
	return os.MkdirAll("/run/log", 0o755)
}
