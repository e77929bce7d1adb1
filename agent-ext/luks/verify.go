// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrTable says that the live mapping is not what was asked for.
var ErrTable = errors.New("the live device-mapper table is not what was asked for")

// Verify reads the live tables back and compares every field, so that nothing
// that cryptsetup or the kernel believed on its way (a rewritten header with
// cipher_null, say: CVE-2025-59054; or dm-integrity's superblock, which is on
// the host's disk) reaches the pod. Each layer must lie on the one below it, and
// the lowest on the disk. It also makes sure that the node in /dev/mapper is
// this mapping. It gives the volume's size in bytes.
func (v Volume) Verify() (uint64, error) {
	below := v.Number
	var top uint64
	for _, l := range v.layers() {
		device, err := l.verify(below)
		if err != nil {
			return 0, err
		}
		below, top = number(device), device
	}
	var st unix.Stat_t
	if err := unix.Stat(v.Path(), &st); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", v.Path(), err)
	}
	// dm_ioctl.dev has the kernel's huge encoding, which is stat's.
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || st.Rdev != top {
		return 0, fmt.Errorf("%w: %s is another device", ErrTable, v.Path())
	}
	return v.sectors() * 512, nil
}

// verify compares the live table and gives the mapping's device number.
func (l layer) verify(below string) (uint64, error) {
	t, err := readTable(l.name)
	if err != nil {
		return 0, err
	}
	defer t.wipe()
	if err := l.compare(t, below); err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrTable, l.name, err)
	}
	return t.device, nil
}

// number is a device number as the kernel writes it in tables.
func number(device uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
}

// compare is an allow-list: what is not expected is refused.
func (l layer) compare(t *liveTable, below string) error {
	switch {
	case t.name != l.name:
		return fmt.Errorf("it is called %q", t.name)
	case !slices.ContainsFunc(l.uuids, func(begin string) bool { return strings.HasPrefix(t.uuid, begin) }):
		return fmt.Errorf("its uuid is %q", t.uuid)
	case t.flags&(unix.DM_READONLY_FLAG|unix.DM_SUSPEND_FLAG|unix.DM_INACTIVE_PRESENT_FLAG) != 0:
		return fmt.Errorf("its flags are %#x", t.flags)
	case len(t.targets) != 1:
		return fmt.Errorf("it has %d targets", len(t.targets))
	}
	target := t.targets[0]
	switch {
	case target.kind != l.kind:
		return fmt.Errorf("its target is %q", target.kind)
	case target.start != 0 || target.length != l.sectors:
		return fmt.Errorf("it covers sectors %d+%d instead of 0+%d", target.start, target.length, l.sectors)
	}
	return l.compareParameters(bytes.Fields(target.parameters), below)
}

// compareParameters: no error has the key in it.
func (l layer) compareParameters(got [][]byte, below string) error {
	if len(got) != len(l.parameters) {
		return fmt.Errorf("it has %d parameters instead of %d", len(got), len(l.parameters))
	}
	for i, want := range l.parameters {
		switch want {
		case keyHere:
			if err := checkKey(got[i], l.keyBits); err != nil {
				return err
			}
			continue
		case belowHere:
			want = below
		}
		if string(got[i]) != want {
			return fmt.Errorf("parameter %d is %q instead of %q", i, got[i], want)
		}
	}
	return nil
}

// checkKey: hexadecimal, of the right length, and not a pattern such as zeros.
func checkKey(digits []byte, bits int) error {
	if len(digits) != bits/4 {
		return fmt.Errorf("its key has %d digits instead of %d", len(digits), bits/4)
	}
	seen := map[byte]bool{}
	for _, d := range digits {
		if !bytes.ContainsRune([]byte("0123456789abcdef"), rune(d)) {
			return errors.New("its key is not hexadecimal")
		}
		seen[d] = true
	}
	// 128 random digits have fewer than 4 different ones with a probability
	// below 2^-250.
	if len(seen) < 4 {
		return errors.New("its key is not random")
	}
	return nil
}
