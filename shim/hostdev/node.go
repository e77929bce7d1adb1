// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package hostdev

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// makeNode makes a node for the device that only root can open, under a name
// that nobody can guess. mknod refuses a name that is taken.
func (h Host) makeNode(n Number) (string, error) {
	node := filepath.Join(or(h.Dev, "/dev"), ".kata-tes-"+rand.Text())
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(n.Major, n.Minor))); err != nil {
		return "", fmt.Errorf("making the device node %s: %w", node, err)
	}
	return node, nil
}

// describe adds the names by which people know a device: "253:0 (dm-0 vg-lv)".
func (h Host) describe(n Number) string {
	target, err := os.Readlink(h.sysfs(n))
	if err != nil {
		return n.String()
	}
	names := []string{filepath.Base(target)}
	if mapped, err := os.ReadFile(filepath.Join(h.sysfs(n), "dm", "name")); err == nil {
		names = append(names, strings.TrimSpace(string(mapped)))
	}
	return fmt.Sprintf("%s (%s)", n, strings.Join(names, " "))
}

// users is a guess at who has the device, for the message to a person.
func (h Host) users(n Number) string {
	var users []string
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.Major != int(n.Major) || m.Minor != int(n.Minor), false
	})
	if err == nil && len(mounts) > 0 {
		users = append(users, "mounted at "+mounts[0].Mountpoint)
	}
	holders, err := os.ReadDir(filepath.Join(h.sysfs(n), "holders"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	for _, holder := range holders {
		users = append(users, "part of "+holder.Name())
	}
	if len(users) == 0 {
		return ""
	}
	return " (" + strings.Join(users, ", ") + ")"
}
