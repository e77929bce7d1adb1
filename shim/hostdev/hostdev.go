// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostdev turns a block device's number into an open file that nobody
// else can have: the host's side of "never wipe a disk that is in use".
//
// A number is all that config.json has; the path on the host is unknown, and a
// path could be replaced between check and use anyway. So the device is opened
// by a node of our own, and everything is checked on the open file.
package hostdev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var (
	// ErrMissing says that the host has no such block device.
	ErrMissing = errors.New("there is no such block device on the node")
	// ErrReadOnly says that the device can't be written to.
	ErrReadOnly = errors.New("the block device is read-only")
	// ErrInUse says that somebody has claimed the device: a mount, a mapping on
	// top of it, or another virtual machine.
	ErrInUse = errors.New("the block device is mounted or in use by another pod")
	// ErrTooSmall says that the device has less than the minimum size.
	ErrTooSmall = errors.New("the block device is too small")
	// ErrUneven says that the device doesn't end at a sector of the encryption.
	ErrUneven = errors.New("the block device's size is not a multiple of 4096 bytes")
	// ErrReplaced says that the number meant two devices within one call.
	ErrReplaced = errors.New("the block device was replaced meanwhile")
)

// sectorSize is that of the guest's encryption, in bytes: a disk whose size is
// no multiple of it can't be formatted (cryptsetup-luksFormat(8), --sector-size).
const sectorSize = 4096

// Number is a block device's number.
type Number struct{ Major, Minor uint32 }

func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// Host is where devices are. Empty fields mean the usual folders.
type Host struct {
	// Sys is where sysfs is mounted, /sys.
	Sys string
	// Dev is a folder in which device nodes can be opened, /dev. (/run is no
	// such folder: systemd mounts it nodev.)
	Dev string
}

// Open opens the block device with that number for reading and writing,
// exclusively, with O_DIRECT: as long as the file or a duplicate of it is open,
// the kernel refuses every other exclusive open, mounts included (open(2),
// O_EXCL). minimum is in bytes. Each refusal is one of the errors above.
func (h Host) Open(n Number, minimum uint64) (*os.File, error) {
	f, err := h.open(n, minimum)
	if err != nil {
		return nil, fmt.Errorf("block device %s: %w", h.describe(n), err)
	}
	return f, nil
}

func (h Host) open(n Number, minimum uint64) (*os.File, error) {
	if err := h.look(n); err != nil {
		return nil, err
	}
	f, err := h.claim(n)
	if err != nil {
		return nil, err
	}
	if err := check(f, n, minimum); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// look asks sysfs what an open would answer less clearly.
func (h Host) look(n Number) error {
	ro, err := os.ReadFile(filepath.Join(h.sysfs(n), "ro"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing()
	case err != nil:
		return fmt.Errorf("looking for it in sysfs (see the node's kernel log for this disk): %w", err)
	// A partition of a read-only disk has its own flag set as well.
	case strings.TrimSpace(string(ro)) != "0":
		return readOnly()
	}
	return nil
}

// claim opens the device by a node of its own.
func (h Host) claim(n Number) (*os.File, error) {
	node, err := h.makeNode(n)
	if err != nil {
		return nil, err
	}
	const mode = unix.O_RDWR | unix.O_EXCL | unix.O_DIRECT | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := retryInterrupted(func() (int, error) { return unix.Open(node, mode, 0) })
	removed := os.Remove(node)
	switch {
	case err == nil && removed != nil:
		return nil, errors.Join(removed, unix.Close(fd))
	case err != nil:
		return nil, errors.Join(h.explain(n, err), removed)
	}
	return os.NewFile(uintptr(fd), "block device "+h.describe(n)), nil
}

// explain says what the kernel's refusal to open means.
func (h Host) explain(n Number, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w%s; unmount it, or give the pod a volume of its own", ErrInUse, h.users(n))
	case errors.Is(err, unix.EROFS):
		return readOnly()
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return missing()
	}
	return fmt.Errorf("opening it exclusively (see the node's kernel log for this disk): %w", err)
}

func missing() error {
	return fmt.Errorf("%w; check that the persistent volume's disk is attached to this node, then create the pod again", ErrMissing)
}

func readOnly() error {
	return fmt.Errorf("%w; make it writable (lvchange -prw, blockdev --setrw), or take readOnly off the volume", ErrReadOnly)
}

func (h Host) sysfs(n Number) string {
	return filepath.Join(or(h.Sys, "/sys"), "dev", "block", n.String())
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// retryInterrupted repeats a system call that a signal interrupted.
func retryInterrupted(call func() (int, error)) (int, error) {
	for {
		value, err := call()
		if !errors.Is(err, unix.EINTR) {
			return value, err
		}
	}
}
