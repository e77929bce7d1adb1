// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package disk finds the disk that the host hotplugged, by the marker in its
// serial number, and verifies that it may be overwritten.
//
// The marker is a hint, not a proof: the host chooses serial numbers. Whatever
// carries it must be exactly one whole, writable, unused disk.
package disk

import (
	"errors"
	"fmt"
	"os"
)

var (
	// ErrNotFound says that no disk with the marker appeared in time.
	ErrNotFound = errors.New("no disk with the marker appeared")
	// ErrUnfit says that the disk must not or cannot become a store.
	ErrUnfit = errors.New("the disk is unfit")
)

// sectorSize is the unit of all sizes in sysfs, in bytes (whatever the disk's
// own sectors are).
const sectorSize = 512

// System is where the kernel's views are. Empty fields mean the usual places.
type System struct {
	Sysfs, Proc, Dev string
	// Nodes is a directory for device nodes of our own, should Dev lack one
	// (no devtmpfs).
	Nodes string
}

func (s System) sysfs() string { return or(s.Sysfs, "/sys") }
func (s System) proc() string  { return or(s.Proc, "/proc") }
func (s System) dev() string   { return or(s.Dev, "/dev") }

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// Disk is a verified disk. It is held open, not exclusively (cryptsetup needs
// the claim for itself), so that its device number cannot come to mean another
// disk. Close it when the mapping holds the disk.
type Disk struct {
	// Path is the device node, e.g. /dev/sda.
	Path string
	// Major and Minor are its device number.
	Major, Minor uint32
	// Size in bytes.
	Size uint64

	// pin is nil for a disk that was only remembered.
	pin *os.File
	// ownNode says that Path is a node that we made.
	ownNode bool
}

// Close lets go of the disk.
func (d *Disk) Close() error {
	var err error
	if d.pin != nil {
		err = d.pin.Close()
	}
	if d.ownNode {
		err = errors.Join(err, os.Remove(d.Path))
	}
	return err
}

// Number is the device number as the kernel writes it, MAJOR:MINOR.
func (d *Disk) Number() string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }
