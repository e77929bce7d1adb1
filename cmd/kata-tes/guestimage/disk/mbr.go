// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of partitions that matter.
const (
	unused        = 0x00
	extended      = 0x05
	extendedLBA   = 0x0f
	extendedLinux = 0x85
	protective    = 0xee
)

// An MBR's table has four entries of 16 bytes: type, start and length in
// sectors, and the outdated geometry, which nothing reads any more.
const (
	tableOffset    = 446
	entrySize      = 16
	entries        = 4
	signature      = 0xaa55
	signatureAt    = 510
	entryKind      = 4
	entryStart     = 8
	entrySectors   = 12
	beyondGeometry = "\xfe\xff\xff"
)

type entry struct {
	Extent
	kind byte
	// slot is its place in the table.
	slot int
}

// readMBR reads the table at an offset; positions are relative to it.
func readMBR(image io.ReaderAt, at int64) ([]entry, error) {
	sector := make([]byte, Sector)
	if _, err := image.ReadAt(sector, at); err != nil {
		return nil, errors.New("there is no partition table: this is no rootfs image of Kata's")
	}
	le := binary.LittleEndian
	if le.Uint16(sector[signatureAt:]) != signature {
		return nil, errors.New("there is no partition table: this is no rootfs image of Kata's")
	}
	var found []entry
	for slot := range entries {
		b := sector[tableOffset+slot*entrySize:]
		if b[entryKind] != unused {
			found = append(found, entry{slot: slot, kind: b[entryKind], Extent: Extent{
				Start: int64(le.Uint32(b[entryStart:])) * Sector, Size: int64(le.Uint32(b[entrySectors:])) * Sector,
			}})
		}
	}
	return found, nil
}

// Write writes the layout over the tables of an image that has as many
// partitions. All else in their sectors stays.
func (l Layout) Write(image interface {
	io.ReaderAt
	io.WriterAt
},
) error {
	if l.GPT {
		return errors.New("writing a GPT is not implemented")
	}
	for _, at := range tables(l.DAX) {
		if err := l.writeMBR(image, at); err != nil {
			return fmt.Errorf("writing the partition table at %d: %w", at, err)
		}
	}
	return nil
}

func tables(dax int64) []int64 {
	if dax == 0 {
		return []int64{0}
	}
	return []int64{0, dax}
}

func (l Layout) writeMBR(image interface {
	io.ReaderAt
	io.WriterAt
}, at int64,
) error {
	found, err := readMBR(image, at)
	if err != nil {
		return err
	}
	extents := []Extent{l.Root}
	if l.Hash != nil {
		extents = append(extents, *l.Hash)
	}
	if len(found) != len(extents) {
		return fmt.Errorf("it has %d partitions, not %d", len(found), len(extents))
	}
	for i, e := range found {
		extent := Extent{Start: extents[i].Start - at, Size: extents[i].Size}
		if extent == e.Extent {
			continue
		}
		b := make([]byte, entrySize)
		offset := at + tableOffset + int64(e.slot)*entrySize
		if _, err := image.ReadAt(b, offset); err != nil {
			return err
		}
		copy(b[1:], beyondGeometry)
		copy(b[5:], beyondGeometry)
		binary.LittleEndian.PutUint32(b[entryStart:], uint32(extent.Start/Sector))
		binary.LittleEndian.PutUint32(b[entrySectors:], uint32(extent.Size/Sector))
		if _, err := image.WriteAt(b, offset); err != nil {
			return err
		}
	}
	return nil
}
