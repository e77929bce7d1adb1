// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

var errFlags = errors.New("it is not open with O_RDWR and O_DIRECT")

// checkDescriptor makes sure that QEMU can use f as a disk, and says by which of
// its drivers.
func checkDescriptor(f *os.File) (driver string, err error) {
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := checkFlags(f); err != nil {
		return "", err
	}
	switch {
	case st.Mode()&fs.ModeCharDevice != 0:
	case st.Mode()&fs.ModeDevice != 0:
		return "host_device", nil
	case st.Mode().IsRegular():
		return "file", nil
	}
	return "", errors.New("not a block device")
}

// checkFlags: from 9.1 on, QEMU takes a descriptor only if it was opened with
// exactly the flags that the block node needs; before, it set O_DIRECT itself.
func checkFlags(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("taking the descriptor: %w", err)
	}
	var flags int
	var flagsErr error
	if err := raw.Control(func(fd uintptr) { flags, flagsErr = unix.FcntlInt(fd, unix.F_GETFL, 0) }); err != nil {
		return fmt.Errorf("taking the descriptor: %w", err)
	}
	if flagsErr != nil {
		return fmt.Errorf("reading the descriptor's flags: %w", flagsErr)
	}
	if flags&unix.O_ACCMODE != unix.O_RDWR || flags&unix.O_DIRECT == 0 {
		return errFlags
	}
	return nil
}
