// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

var (
	// ErrNotBlock says that the store's entry is no block device with a number.
	ErrNotBlock = errors.New("the trusted store is not a block device")
	// ErrTwice says that the container has more than one entry for the store.
	ErrTwice = errors.New("the trusted store is there more than once")
	// ErrReadOnly says that the container may only read the disk: its claim is
	// readOnly, and making a store of it would overwrite what is to be kept.
	ErrReadOnly = errors.New("the trusted store's volume is read-only for this container")
	// ErrAliased says that the container gets the store's disk under another
	// path as well: the runtime would hand the same disk to the container,
	// which then writes under the encryption.
	ErrAliased = errors.New("the trusted store's disk is there under another path, too")
)

// Linux device numbers have 12 bits for the major and 20 for the minor number
// (include/linux/kdev_t.h).
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// Number is a block device's number.
type Number struct{ Major, Minor uint32 }

func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// Store is a container's request for the trusted store.
type Store struct {
	// Path is the device path that asks for it.
	Path string
	// Number is the host's block device.
	Number Number
	// entry and rules are where the request is in linux.devices and
	// linux.resources.devices.
	entry int
	rules []int
}

// Store finds the request for the trusted store: the entry of linux.devices
// with that path. Nil where the container doesn't ask. A request that makes no
// sense is ErrNotBlock (a mount at that path, too), ErrTwice, ErrAliased,
// ErrReadOnly or ErrLookalike.
func (s *Spec) Store(devicePath string) (*Store, error) {
	devicePath = inContainer(devicePath)
	if err := s.checkLookalike(devicePath); err != nil {
		return nil, err
	}
	entries := s.entries(devicePath)
	switch {
	case s.mountsAt(devicePath):
		return nil, fmt.Errorf("%w: something is mounted at %s; give the container a volume with volumeMode: Block, by volumeDevices instead of volumeMounts", ErrNotBlock, devicePath)
	case len(entries) == 0:
		return nil, nil //nolint:nilnil // "does not ask" is an answer, and the usual one
	case len(entries) > 1:
		return nil, fmt.Errorf("%w: the container has %d devices at %s; keep one entry with that devicePath in its volumeDevices", ErrTwice, len(entries), devicePath)
	}
	store := &Store{Path: devicePath, entry: entries[0]}
	if err := store.identify(s.Linux.Devices[store.entry]); err != nil {
		return nil, err
	}
	if other := s.pathOf(store.Number, store.entry); other != "" {
		return nil, fmt.Errorf("%w: block device %s is at %s and at %s; "+
			"remove the second one from the container's volumeDevices, or, if the container is privileged, set privileged_without_host_devices = true for the runtime handler",
			ErrAliased, store.Number, devicePath, other)
	}
	store.rules = s.rulesOf(store.Number)
	if s.readOnly(store.rules) {
		return nil, fmt.Errorf("%w: block device %s at %s; take readOnly off the claim in the pod's volumes, or give the pod a volume whose contents nobody needs", ErrReadOnly, store.Number, devicePath)
	}
	return store, nil
}

// readOnly says whether rules for the device allow everything but writing: the
// kubelet's way to say readOnly. Where there are none, or they name no access,
// nothing is said.
func (s *Spec) readOnly(rules []int) bool {
	for _, i := range rules {
		access := s.Linux.Resources.Devices[i].Access
		if access == "" || strings.ContainsRune(access, 'w') {
			return false
		}
	}
	return len(rules) > 0
}

// entries are the places of a path in linux.devices.
func (s *Spec) entries(devicePath string) []int {
	var found []int
	for i, d := range s.Linux.Devices {
		if inContainer(d.Path) == devicePath {
			found = append(found, i)
		}
	}
	return found
}

// HasDevice says whether the container has a device at that path.
func (s *Spec) HasDevice(at string) bool { return len(s.entries(inContainer(at))) > 0 }

// mountsAt says whether something is mounted at a path: a volume that was meant
// for the store and would leave the pod without one.
func (s *Spec) mountsAt(devicePath string) bool {
	for _, m := range s.Mounts {
		if inContainer(m.Destination) == devicePath {
			return true
		}
	}
	return false
}

// inContainer is where a path leads to in the container, whose root it can't
// leave. Kubernetes accepts paths without the first slash.
func inContainer(p string) string { return path.Clean("/" + p) }

// identify checks the entry's form and takes its number.
func (st *Store) identify(d device) error {
	if d.Type != "b" {
		return fmt.Errorf("%w: %s has type %.20q; give the container a volume with volumeMode: Block", ErrNotBlock, st.Path, d.Type)
	}
	n, ok := number(d.Major, d.Minor)
	if !ok {
		return fmt.Errorf("%w: the entry for %s has no valid major and minor number; give the container a volume with volumeMode: Block", ErrNotBlock, st.Path)
	}
	st.Number = n
	return nil
}

// PathOf is where the container has a block device, empty where it has not.
func (s *Spec) PathOf(n Number) string { return s.pathOf(n, -1) }

// BlockDevices are the numbers of all the container's block devices.
func (s *Spec) BlockDevices() []Number {
	var all []Number
	for _, d := range s.Linux.Devices {
		if n, ok := number(d.Major, d.Minor); ok && d.Type == "b" {
			all = append(all, n)
		}
	}
	return all
}

// pathOf is PathOf without one of the entries.
func (s *Spec) pathOf(want Number, without int) string {
	for i, d := range s.Linux.Devices {
		n, ok := number(d.Major, d.Minor)
		if i != without && ok && d.Type == "b" && n == want {
			return d.Path
		}
	}
	return ""
}

// rulesOf are the places of the rules that allow just this device. (One that
// allows more isn't the store's.)
func (s *Spec) rulesOf(want Number) []int {
	var found []int
	for i, r := range s.Linux.Resources.Devices {
		n, ok := number(r.Major, r.Minor)
		if ok && r.Allow && r.Type == "b" && n == want {
			found = append(found, i)
		}
	}
	return slices.Clip(found)
}

func number(major, minor *int64) (Number, bool) {
	if major == nil || minor == nil || *major < 0 || *major > maxMajor || *minor < 0 || *minor > maxMinor {
		return Number{}, false
	}
	return Number{Major: uint32(*major), Minor: uint32(*minor)}, true
}
