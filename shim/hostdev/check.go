// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package hostdev

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// check verifies on the open file what a path or sysfs only hints at.
func check(f *os.File, n Number, minimum uint64) error {
	if err := checkNumber(f, n); err != nil {
		return err
	}
	ro, err := unix.IoctlGetUint32(int(f.Fd()), unix.BLKROGET)
	if err != nil {
		return fmt.Errorf("asking whether it is read-only: %w", err)
	}
	if ro != 0 {
		return readOnly()
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("asking for its size: %w", err)
	}
	return checkSize(uint64(size), minimum)
}

func checkNumber(f *os.File, n Number) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("asking for its number: %w", err)
	}
	is := Number{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || is != n {
		return fmt.Errorf("%w: what was opened is %s; create the pod again", ErrReplaced, is)
	}
	return nil
}

func checkSize(size, minimum uint64) error {
	minimum = max(minimum, sectorSize)
	switch {
	case size < minimum:
		return fmt.Errorf("%w: it has %d bytes and a trusted store needs %d at least; ask for more storage in the PersistentVolumeClaim", ErrTooSmall, size, minimum)
	case size%sectorSize != 0:
		return fmt.Errorf("%w: it has %d; give the pod a volume whose size is one", ErrUneven, size)
	}
	return nil
}
