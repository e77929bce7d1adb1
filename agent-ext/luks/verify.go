// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrTable says that the live mapping is not what was asked for.
var ErrTable = errors.New("the live device-mapper table is not what was asked for")

// Verify reads the live table back and compares every field, so that nothing
// that cryptsetup believed on its way (a rewritten header with cipher_null, say:
// CVE-2025-59054) reaches the pod. It also makes sure that the node in
// /dev/mapper is this mapping. It gives the mapping's size in bytes.
func (v Volume) Verify() (uint64, error) {
	t, err := readTable(v.Mapping)
	if err != nil {
		return 0, err
	}
	defer t.wipe()
	if err := v.compare(t); err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrTable, v.Mapping, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(v.Path(), &st); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", v.Path(), err)
	}
	// dm_ioctl.dev has the kernel's huge encoding, which is stat's.
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || st.Rdev != t.device {
		return 0, fmt.Errorf("%w: %s is another device", ErrTable, v.Path())
	}
	return t.targets[0].length * 512, nil
}

// sectors is the length of the mapping in 512-byte sectors: what is left of the
// disk after the offset, in whole encryption sectors.
func (v Volume) sectors() uint64 {
	const each = encryptionSector / 512
	return (v.Size/512 - dataOffset) / each * each
}

// compare is an allow-list: what is not expected is refused.
func (v Volume) compare(t *liveTable) error {
	switch {
	case t.name != v.Mapping:
		return fmt.Errorf("it is called %q", t.name)
	case !strings.HasPrefix(t.uuid, "CRYPT-LUKS2-"):
		return fmt.Errorf("its uuid is %q", t.uuid)
	case t.flags&(unix.DM_READONLY_FLAG|unix.DM_SUSPEND_FLAG|unix.DM_INACTIVE_PRESENT_FLAG) != 0:
		return fmt.Errorf("its flags are %#x", t.flags)
	case len(t.targets) != 1:
		return fmt.Errorf("it has %d targets", len(t.targets))
	}
	target := t.targets[0]
	switch {
	case target.kind != "crypt":
		return fmt.Errorf("its target is %q", target.kind)
	case target.start != 0 || target.length != v.sectors():
		return fmt.Errorf("it covers sectors %d+%d instead of 0+%d", target.start, target.length, v.sectors())
	}
	return v.compareCrypt(target.parameters)
}

// compareCrypt checks the parameters of a crypt target (kernel,
// admin-guide/device-mapper/dm-crypt.rst):
// cipher, key, IV offset, device, offset, number of options, options.
// No error has the key in it.
func (v Volume) compareCrypt(parameters []byte) error {
	fields := bytes.Fields(parameters)
	if len(fields) != 7 {
		return fmt.Errorf("it has %d parameters instead of 7", len(fields))
	}
	if got := string(fields[0]); got != cipher {
		return fmt.Errorf("its cipher is %q", got)
	}
	if err := checkKey(fields[1]); err != nil {
		return err
	}
	for i, want := range map[int]string{
		2: "0",
		3: v.Number,
		4: strconv.Itoa(dataOffset),
		5: "1",
		6: "sector_size:" + strconv.Itoa(encryptionSector),
	} {
		if got := string(fields[i]); got != want {
			return fmt.Errorf("parameter %d is %q instead of %q", i, got, want)
		}
	}
	return nil
}

// checkKey: hexadecimal, of the right length, and not a pattern such as zeros.
func checkKey(digits []byte) error {
	if len(digits) != keyBits/4 {
		return fmt.Errorf("its key has %d digits instead of %d", len(digits), keyBits/4)
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
