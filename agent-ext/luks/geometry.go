// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"math/bits"
	"strconv"
)

// geometry is how dm-integrity lays out a disk that it formats with its
// defaults: superblock, journal, and then areas of data with their tags in
// front. Sizes are in 512-byte sectors.
//
// The kernel reads it back from a superblock on the host's disk. Since it
// follows from the size of the disk alone, it can be demanded: whatever else the
// kernel reports was written by somebody else.
type geometry struct {
	// journal is its size, also where it is not used; data is what is left.
	journal, data uint64
}

// What dm-integrity has by default (Linux, drivers/md/dm-integrity.c; on-disk
// format, so it stays).
const (
	superblockSectors = 8
	// The journal is a 128th of the disk, 64 MiB at most, in whole sections.
	journalShare, journalMost = 128, 131072
	// A section has eight sectors of entries, and room for what they describe.
	journalEntrySectors = 8
	// A sector of entries has 8 bytes at its end that tell a torn write.
	journalEntryBytes = 512 - 8
	// interleave is the data of an area, before the tags of the next.
	interleave = 32768
	// The tags of an area take whole blocks of 4 KiB.
	tagBlock = 4096
	// bufferSectors is how much of the tags is read and written at once.
	bufferSectors = 128
)

// layOut gives the geometry of a disk of that many sectors on which dm-integrity
// begins at dataOffset. No data: the disk is too small.
func layOut(disk uint64, tagBytes int) geometry {
	const perBlock = encryptionSector / 512
	// An entry: the place, the last 8 bytes of each sector, and the tag.
	entry := roundUp(uint64(8+8*perBlock+tagBytes), 8)
	entries := journalEntryBytes / entry * journalEntrySectors
	section := entries*perBlock + journalEntrySectors
	g := geometry{journal: max(min(disk/journalShare, journalMost)/section, 1) * section}

	tags := roundUp(uint64(tagBytes)*interleave/perBlock, tagBlock) / 512
	fits := func(data uint64) bool {
		last := data - 1
		areas := last/interleave + 1
		return dataOffset+superblockSectors+g.journal+areas*tags+last < disk
	}
	// The most that fits, a bit at a time, in whole blocks.
	for bit := bits.Len64(disk) - 1; bit >= bits.Len(perBlock)-1; bit-- {
		if more := g.data | 1<<bit; fits(more) {
			g.data = more
		}
	}
	return g
}

// table are dm-integrity's parameters after the device (kernel,
// admin-guide/device-mapper/dm-integrity.rst).
func (g geometry) table(tagBytes int) []string {
	options := []string{
		"block_size:" + strconv.Itoa(encryptionSector),
		"journal_sectors:" + strconv.FormatUint(g.journal, 10),
		"interleave_sectors:" + strconv.Itoa(interleave),
		"buffer_sectors:" + strconv.Itoa(bufferSectors),
		"fix_padding",
	}
	// D: direct, without a journal.
	return append([]string{strconv.Itoa(dataOffset), strconv.Itoa(tagBytes), "D", strconv.Itoa(len(options))}, options...)
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }
