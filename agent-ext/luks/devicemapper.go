// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoMapping says that device-mapper has no mapping of that name.
var ErrNoMapping = errors.New("no such mapping")

const (
	// mapper is where the mappings' nodes are.
	mapper = "/dev/mapper"
	// control is device-mapper's control node.
	control = mapper + "/control"
	// tableBytes is room for the answer: a header and one target. A longer
	// table is not ours and is reported as too long.
	tableBytes = 4 << 10
)

// ask puts a question about a mapping to device-mapper (kernel, dm-ioctl.h) and
// gives the answer, which the caller clears where it may have a key in it.
// Without the mapping, or without device-mapper, the error is ErrNoMapping.
func ask(command uintptr, name string, flags uint32) (_ []byte, err error) {
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: the kernel has no device-mapper (%w)", ErrNoMapping, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening device-mapper: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	buffer := make([]byte, tableBytes)
	request := (*unix.DmIoctl)(unsafe.Pointer(&buffer[0])) //nolint:gosec // the kernel's structure, at the start of the buffer
	request.Version = [3]uint32{4, 0, 0}
	request.Data_size = tableBytes
	request.Data_start = unix.SizeofDmIoctl
	request.Flags = flags
	if len(name) >= len(request.Name) {
		return nil, fmt.Errorf("mapping name of %d characters is too long", len(name))
	}
	copy(request.Name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), command, uintptr(unsafe.Pointer(&buffer[0]))) //nolint:gosec // ioctl(2)
	if errno == 0 {
		return buffer, nil
	}
	clear(buffer)
	if errno == unix.ENXIO {
		return nil, fmt.Errorf("%w: %s", ErrNoMapping, name)
	}
	return nil, errno
}

// remove takes a mapping away without cryptsetup, which knows no mapping that
// it has only begun to make. No mapping is a success, one that somebody uses is
// ErrInUse.
func remove(name string) error {
	_, err := ask(unix.DM_DEV_REMOVE, name, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %s: %w", ErrInUse, name, err)
	case err != nil && !errors.Is(err, ErrNoMapping):
		return fmt.Errorf("removing the mapping %s: %w", name, err)
	}
	// libdevmapper made the node itself where no udevd runs; a node without
	// its mapping would be in the way of the next.
	//nolint:gosec // device-mapper's names have no slash
	if err := os.Remove(filepath.Join(mapper, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the node of the mapping %s: %w", name, err)
	}
	return nil
}
