// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// vpdHeader is the length of a SCSI vital product data page's header
	// (SPC-4, 7.8): peripheral, page code, length. The serial number follows.
	vpdHeader = 4
	// vpdSerialPage is the page's code, "unit serial number".
	vpdSerialPage = 0x80
)

// matching are the names in /sys/block of all disks that carry the marker.
func (s System) matching(marker string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.sysfs(), "block"))
	if err != nil {
		return nil, fmt.Errorf("looking for disks: %w", err)
	}
	var names []string
	for _, e := range entries {
		serial, err := s.serial(e.Name())
		if err != nil {
			return nil, err
		}
		if serial == marker && s.isAdded(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// isAdded says whether the kernel has added the disk. It shows it in /sys/block
// a moment before its folder "holders" (device_add_disk in block/genhd.c),
// which tells whether somebody uses it. Its event, or the ticker, brings the
// next look.
func (s System) isAdded(name string) bool {
	_, err := os.Stat(filepath.Join(s.sysfs(), "block", name, "holders"))
	return !errors.Is(err, fs.ErrNotExist)
}

// serial is the disk's serial number, empty where it has none: most block
// devices have no such attribute, and one that is just being removed answers
// with an error.
func (s System) serial(name string) (string, error) {
	dir := filepath.Join(s.sysfs(), "block", name)
	page, err := os.ReadFile(filepath.Join(dir, "device", "vpd_pg80")) //nolint:gosec // sysfs
	if err == nil {
		return scsiSerial(page), nil
	}
	// virtio-blk asks the host each time it is read.
	text, err := os.ReadFile(filepath.Join(dir, "serial")) //nolint:gosec // sysfs
	if err == nil {
		return string(bytes.Trim(text, " \n\x00")), nil
	}
	var gone *fs.PathError
	if errors.As(err, &gone) {
		return "", nil
	}
	return "", fmt.Errorf("reading the serial number of %s: %w", name, err)
}

// scsiSerial takes the serial number out of a vital product data page.
func scsiSerial(page []byte) string {
	if len(page) < vpdHeader || page[1] != vpdSerialPage {
		return ""
	}
	length := int(page[2])<<8 | int(page[3])
	serial := page[vpdHeader:]
	if length < len(serial) {
		serial = serial[:length]
	}
	// Some devices pad with spaces or NUL.
	return string(bytes.Trim(serial, " \x00"))
}
