// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ErrInUse says that somebody works on the file system.
var ErrInUse = errors.New("the file system is in use")

// CheckUnused looks for mounts that need the file system at the mount points:
// overlays with a layer on it (which unmounting alone would not notice, because
// an overlay holds its layers by mounts of its own) and mounts below.
func CheckUnused(mountPoints []string) (err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return checkUnused(f, mountPoints)
}

func checkUnused(table io.Reader, mountPoints []string) error {
	mounts, err := mountinfo.GetMountsFromReader(table, nil)
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	for _, m := range mounts {
		for _, point := range mountPoints {
			below := point + "/"
			if strings.HasPrefix(m.Mountpoint, below) || (m.FSType == "overlay" && strings.Contains(m.VFSOptions, below)) {
				return fmt.Errorf("%w: %s is mounted at %s", ErrInUse, m.FSType, m.Mountpoint)
			}
		}
	}
	return nil
}

// Usage is size and used bytes of the file system at the mount point.
func Usage(at string) (size, used uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return 0, 0, fmt.Errorf("looking at %s: %w", at, err)
	}
	block := uint64(st.Bsize)
	return st.Blocks * block, (st.Blocks - st.Bfree) * block, nil
}
