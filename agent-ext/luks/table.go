// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxTargets bounds the parsing. Ours has one.
const maxTargets = 16

// liveTable is what device-mapper says of a mapping. Parameters contain the key.
type liveTable struct {
	name, uuid string
	device     uint64
	flags      uint32
	// users is how many have the mapping open, a mount among them.
	users   int32
	targets []liveTarget
}

type liveTarget struct {
	start, length uint64
	kind          string
	parameters    []byte
}

// wipe zeroes the parameters.
func (t *liveTable) wipe() {
	for _, target := range t.targets {
		clear(target.parameters)
	}
}

// mappingUsers is how many have the mapping open.
func mappingUsers(name string) (int32, error) {
	t, err := readTable(name)
	if err != nil {
		return 0, err
	}
	t.wipe()
	return t.users, nil
}

// readTable asks for the live table (kernel, dm-ioctl.h: DM_TABLE_STATUS). The
// caller wipes it.
func readTable(name string) (*liveTable, error) {
	// The table instead of the status; the kernel wipes its own copy.
	answer, err := ask(unix.DM_TABLE_STATUS, name, unix.DM_STATUS_TABLE_FLAG|unix.DM_SECURE_DATA_FLAG)
	if err != nil {
		return nil, fmt.Errorf("reading the table of %s: %w", name, err)
	}
	defer clear(answer)
	return parseTable(answer)
}

// parseTable reads the kernel's answer.
func parseTable(buffer []byte) (*liveTable, error) {
	if len(buffer) < unix.SizeofDmIoctl {
		return nil, fmt.Errorf("device-mapper's answer has %d bytes only", len(buffer))
	}
	// Field offsets of struct dm_ioctl.
	start := binary.NativeEndian.Uint32(buffer[16:])
	count := binary.NativeEndian.Uint32(buffer[20:])
	t := &liveTable{
		users:  int32(binary.NativeEndian.Uint32(buffer[24:])),
		flags:  binary.NativeEndian.Uint32(buffer[28:]),
		device: binary.NativeEndian.Uint64(buffer[40:]),
		name:   cString(buffer[48:176]),
		uuid:   cString(buffer[176:305]),
	}
	if t.flags&unix.DM_BUFFER_FULL_FLAG != 0 {
		return nil, errors.New("the table is longer than one crypt target")
	}
	if count > maxTargets {
		return nil, fmt.Errorf("the table has %d targets", count)
	}
	if uint64(start) > uint64(len(buffer)) {
		return nil, errors.New("device-mapper's answer points outside of itself")
	}
	data := buffer[start:]
	offset := uint64(0)
	for range count {
		if offset+unix.SizeofDmTargetSpec > uint64(len(data)) {
			t.wipe()
			return nil, errors.New("device-mapper's answer is cut short")
		}
		spec := data[offset:]
		parameters, _, ended := bytes.Cut(spec[unix.SizeofDmTargetSpec:], []byte{0})
		if !ended {
			t.wipe()
			return nil, errors.New("device-mapper's answer is cut short")
		}
		t.targets = append(t.targets, liveTarget{
			start:      binary.NativeEndian.Uint64(spec[0:]),
			length:     binary.NativeEndian.Uint64(spec[8:]),
			kind:       cString(spec[24:40]),
			parameters: bytes.Clone(parameters),
		})
		// "next" counts from the start of the data.
		offset = uint64(binary.NativeEndian.Uint32(spec[20:]))
	}
	return t, nil
}

func cString(field []byte) string {
	text, _, _ := bytes.Cut(field, []byte{0})
	return string(text)
}
