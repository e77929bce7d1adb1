// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package disk reads and writes the partition tables of Kata's rootfs images.
//
// Such an image (Kata's tools/osbuilder/image-builder/image_builder.sh) has one
// partition, the root file system, and with a measured root a second one, the
// dm-verity hash tree. With NVDIMM the guest leaves the first 2 MiB away, in
// which the header for DAX is, so that there are two tables: one at the image's
// beginning, and one at the header's end, with all positions relative to it.
package disk

import (
	"errors"
	"fmt"
	"io"
)

const (
	// Sector is the unit of partition tables, in bytes.
	Sector = 512
	// maxSize of an image, in bytes. A guest image has some hundred MiB; what is
	// larger is something else.
	maxSize = 64 << 30
)

// Extent is a part of the image, in bytes.
type Extent struct{ Start, Size int64 }

// End is the first byte behind it.
func (e Extent) End() int64 { return e.Start + e.Size }

// Layout is where what is in an image.
type Layout struct {
	// Size of the image, in bytes.
	Size int64
	Root Extent
	// Hash is the second partition; nil in an image that isn't measured.
	Hash *Extent
	// DAX is the length of the header for NVDIMM, in bytes; 0 without one.
	DAX int64
	// GPT: the table is a GPT, not an MBR.
	GPT bool
}

// Parse reads the tables of an image of size bytes.
func Parse(image io.ReaderAt, size int64) (Layout, error) {
	if size > maxSize {
		return Layout{}, fmt.Errorf("the image has %d bytes, more than any guest image", size)
	}
	l := Layout{Size: size}
	entries, err := readMBR(image, 0)
	if err != nil {
		return Layout{}, err
	}
	if len(entries) == 1 && entries[0].kind == protective {
		l.GPT = true
		entries, err = readGPT(image, size)
	} else {
		l.DAX, err = readDAX(image, size)
	}
	if err != nil {
		return Layout{}, err
	}
	if err := l.place(entries); err != nil {
		return Layout{}, err
	}
	if l.DAX > 0 {
		return l, l.checkSecond(image)
	}
	return l, nil
}

func (l *Layout) place(entries []entry) error {
	if len(entries) != 1 && len(entries) != 2 {
		return fmt.Errorf("the image has %d partitions; Kata's have one, or two with a measured root", len(entries))
	}
	for _, e := range entries {
		if e.kind == extended || e.kind == extendedLBA || e.kind == extendedLinux || e.kind == protective {
			return errors.New("the image has an extended or a GPT partition, which Kata's never have")
		}
		if e.Start < Sector || e.Size <= 0 || e.Start > l.Size || e.Size > l.Size-e.Start {
			return fmt.Errorf("the partition table is damaged, or the image is cut off: a partition is at %d to %d of %d bytes",
				e.Start, e.End(), l.Size)
		}
	}
	l.Root = entries[0].Extent
	if len(entries) == 2 {
		hash := entries[1].Extent
		if hash.Start < l.Root.End() {
			return errors.New("the partition table is damaged: the partitions overlap, or the second one comes first")
		}
		l.Hash = &hash
	}
	if l.Root.Start < l.DAX {
		return errors.New("the partition table is damaged: the root file system begins within the header for DAX")
	}
	return nil
}

// checkSecond holds the table behind the header for DAX against the first one.
func (l *Layout) checkSecond(image io.ReaderAt) error {
	entries, err := readMBR(image, l.DAX)
	if err != nil {
		return fmt.Errorf("behind the header for DAX: %w", err)
	}
	for i := range entries {
		entries[i].Start += l.DAX
	}
	second := Layout{Size: l.Size, DAX: l.DAX}
	if err := second.place(entries); err != nil {
		return fmt.Errorf("behind the header for DAX: %w", err)
	}
	if second.Root != l.Root || (second.Hash == nil) != (l.Hash == nil) || l.Hash != nil && *second.Hash != *l.Hash {
		return errors.New("the image's two partition tables (with and without NVDIMM) disagree: make the image anew")
	}
	return nil
}
