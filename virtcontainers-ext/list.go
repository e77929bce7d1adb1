// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Attachment is what QEMU holds of one disk of ours. A complete one has a
// device on a block node; anything less is left over from a failed attempt.
type Attachment struct {
	Marker string
	// Device: the guest sees the disk.
	Device bool
	// Node: QEMU has the host's device open, and with it the exclusive claim.
	Node bool
	// FDSets are descriptors that were passed and not taken back; they hold the
	// claim, too.
	FDSets []int64
}

// markerForm is the part of a marker's form that QEMU insists on: an id begins
// with a letter, and a virtio-blk serial has 20 characters.
var markerForm = regexp.MustCompile(`^tes-[0-9a-z]{1,16}$`)

func checkMarker(marker string) error {
	if !markerForm.MatchString(marker) {
		return fmt.Errorf("%.40q is not a marker (tes- and up to 16 letters and digits)", marker)
	}
	return nil
}

// List says what QEMU holds of ours, by marker.
func (s *Sandbox) List(ctx context.Context) (list []Attachment, err error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing disks: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	list, err = machine{conn}.attachments(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing disks of sandbox %s: %w", s.id, err)
	}
	return list, nil
}

func (m machine) attachments(ctx context.Context) ([]Attachment, error) {
	devices, err := m.peripherals(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := m.nodes(ctx)
	if err != nil {
		return nil, err
	}
	sets, err := m.fdsets(ctx)
	if err != nil {
		return nil, err
	}
	return collect(devices, nodes, sets), nil
}

// attachment is the one with that marker, all zero where there is none.
func (m machine) attachment(ctx context.Context, marker string) (Attachment, error) {
	all, err := m.attachments(ctx)
	if err != nil {
		return Attachment{}, err
	}
	for _, a := range all {
		if a.Marker == marker {
			return a, nil
		}
	}
	return Attachment{}, nil
}

// collect brings together what belongs to the same marker.
func collect(devices map[string]string, nodes []string, sets []fdset) []Attachment {
	found := map[string]*Attachment{}
	of := func(marker string) *Attachment {
		if found[marker] == nil {
			found[marker] = &Attachment{Marker: marker}
		}
		return found[marker]
	}
	for id := range devices {
		if markerForm.MatchString(id) {
			of(id).Device = true
		}
	}
	for _, node := range nodes {
		if markerForm.MatchString(node) {
			of(node).Node = true
		}
	}
	for _, set := range sets {
		for _, fd := range set.FDs {
			if markerForm.MatchString(fd.Opaque) {
				a := of(fd.Opaque)
				a.FDSets = append(a.FDSets, set.ID)
			}
		}
	}
	list := make([]Attachment, 0, len(found))
	for _, a := range found {
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b Attachment) int { return strings.Compare(a.Marker, b.Marker) })
	return list
}
