// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"golang.org/x/sys/unix"
)

// mountFlags are those options that are no data of the file system.
var mountFlags = map[string]uintptr{"noexec": unix.MS_NOEXEC, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "ro": unix.MS_RDONLY}

// Ephemeral mounts a memory file system, as Kata asks for /dev/shm and for
// volumes in memory. One that is there already is shared.
func Ephemeral(storage *agent.Storage) error {
	if mounted, err := isMountPoint(storage.MountPoint); mounted || err != nil {
		return err
	}
	if err := os.MkdirAll(storage.MountPoint, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", storage.MountPoint, err)
	}
	var flags uintptr
	var data []string
	for _, option := range storage.Options {
		if flag, ok := mountFlags[option]; ok {
			flags |= flag
		} else if !strings.HasPrefix(option, "fsgid=") {
			data = append(data, option)
		}
	}
	if err := unix.Mount(storage.Source, storage.MountPoint, storage.Fstype, flags, strings.Join(data, ",")); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", storage.Fstype, storage.MountPoint, err)
	}
	return setGroup(storage, 0o777)
}

// Local makes a folder in the guest, as Kata asks for an emptyDir.
func Local(storage *agent.Storage) error {
	if err := os.MkdirAll(storage.MountPoint, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", storage.MountPoint, err)
	}
	mode := os.FileMode(0o755)
	for _, option := range storage.Options {
		if text, ok := strings.CutPrefix(option, "mode="); ok {
			number, err := strconv.ParseUint(text, 8, 12)
			if err != nil {
				return fmt.Errorf("mode of %s: %w", storage.MountPoint, err)
			}
			mode = os.FileMode(number)
		}
	}
	if err := os.Chmod(storage.MountPoint, mode); err != nil {
		return fmt.Errorf("setting the mode of %s: %w", storage.MountPoint, err)
	}
	return setGroup(storage, mode)
}

// setGroup gives a volume to the pod's fsGroup, if it has one.
func setGroup(storage *agent.Storage, mode os.FileMode) error {
	for _, option := range storage.Options {
		text, ok := strings.CutPrefix(option, "fsgid=")
		if !ok {
			continue
		}
		gid, err := strconv.Atoi(text)
		if err == nil {
			err = os.Chown(storage.MountPoint, -1, gid)
		}
		if err == nil {
			err = os.Chmod(storage.MountPoint, mode|os.ModeSetgid)
		}
		if err != nil {
			return fmt.Errorf("giving %s to the group %s: %w", storage.MountPoint, text, err)
		}
	}
	return nil
}
