// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Take verifies that the disk may be overwritten, erases its old signatures and
// pins it. The caller closes it. Whatever speaks against it is ErrUnfit.
func (s System) Take(name, marker string, minimum uint64) (*Disk, error) {
	d, err := s.inspect(name, minimum)
	if err != nil {
		return nil, err
	}
	if err := s.findNode(d, name); err != nil {
		return nil, err
	}
	if err := s.claim(d, name, marker, minimum); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// claim opens the disk exclusively, which fails while anybody uses it (a mount,
// a mapping, a swap, another exclusive opener), and keeps a plain descriptor.
func (s System) claim(d *Disk, name, marker string, minimum uint64) (err error) {
	d.pin, err = openNode(d, 0)
	if err != nil {
		return err
	}
	exclusive, err := openNode(d, unix.O_EXCL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exclusive.Close()) }()
	if err := s.unchanged(d, name, marker, minimum); err != nil {
		return err
	}
	if err := eraseSignatures(exclusive, d.Size); err != nil {
		return err
	}
	if err := exclusive.Sync(); err != nil {
		return fmt.Errorf("erasing old signatures: %w", err)
	}
	return nil
}

// unchanged: between the look and the claim the name may have gone to another
// disk.
func (s System) unchanged(d *Disk, name, marker string, minimum uint64) error {
	serial, err := s.serial(name)
	if err != nil {
		return err
	}
	if serial != marker {
		return fmt.Errorf("%w: %s changed its serial number to %.40q while it was looked at", ErrUnfit, name, serial)
	}
	again, err := s.inspect(name, minimum)
	if err != nil {
		return err
	}
	if again.Number() != d.Number() || again.Size != d.Size {
		return fmt.Errorf("%w: %s changed while it was looked at", ErrUnfit, name)
	}
	return nil
}

// inspect reads what sysfs and procfs say.
func (s System) inspect(name string, minimum uint64) (*Disk, error) {
	dir := filepath.Join(s.sysfs(), "block", name)
	number, err := attribute(dir, "dev")
	if err != nil {
		return nil, err
	}
	d := &Disk{}
	// Sscanf alone would take 8:0 out of 8:01 and 8:0:1.
	if _, err := fmt.Sscanf(number, "%d:%d", &d.Major, &d.Minor); err != nil || d.Number() != number {
		return nil, fmt.Errorf("%w: %s has the device number %.40q", ErrUnfit, name, number)
	}
	if err := s.checkWhole(dir, name); err != nil {
		return nil, err
	}
	if err := s.checkUnused(name, d); err != nil {
		return nil, err
	}
	sectors, err := attribute(dir, "size")
	if err != nil {
		return nil, err
	}
	count, err := strconv.ParseUint(sectors, 10, 54)
	if err != nil {
		return nil, fmt.Errorf("%w: %s has the size %q: %w", ErrUnfit, name, sectors, err)
	}
	d.Size = count * sectorSize
	if d.Size < minimum {
		return nil, fmt.Errorf("%w: %s has %d bytes, a store needs at least %d; use a larger volume", ErrUnfit, name, d.Size, minimum)
	}
	return d, nil
}

// checkWhole: a writable disk that is no part of another and has no parts. A
// marker on removable media is no disk of ours.
func (s System) checkWhole(dir, name string) error {
	removable, err := attribute(dir, "removable")
	if err != nil {
		return err
	}
	if removable != "0" {
		return fmt.Errorf("%w: %s is a removable medium", ErrUnfit, name)
	}
	ro, err := attribute(dir, "ro")
	if err != nil {
		return err
	}
	if ro != "0" {
		return fmt.Errorf("%w: %s is read-only", ErrUnfit, name)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "*", "partition"))
	if err != nil {
		return err
	}
	if len(parts) > 0 {
		return fmt.Errorf("%w: %s has partitions; use a volume without a partition table", ErrUnfit, name)
	}
	return nil
}

// checkUnused: no mapping on top, no mount, no swap.
func (s System) checkUnused(name string, d *Disk) error {
	holders, err := os.ReadDir(filepath.Join(s.sysfs(), "block", name, "holders"))
	if err != nil {
		return fmt.Errorf("looking at %s: %w", name, err)
	}
	if len(holders) > 0 {
		return fmt.Errorf("%w: %s is in use by %s", ErrUnfit, name, holders[0].Name())
	}
	mounts, err := s.mounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.Major == int(d.Major) && m.Minor == int(d.Minor) {
			return fmt.Errorf("%w: %s is mounted at %s", ErrUnfit, name, m.Mountpoint)
		}
	}
	return nil
}

func (s System) mounts() (_ []*mountinfo.Info, err error) {
	f, err := os.Open(filepath.Join(s.proc(), "self", "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return mountinfo.GetMountsFromReader(f, nil)
}

// attribute reads a short sysfs file.
func attribute(dir, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // sysfs
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return strings.TrimSpace(string(text)), nil
}
