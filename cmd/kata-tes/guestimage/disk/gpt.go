// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// The header of a GPT is in sector 1 (UEFI specification, 5.3.2).
const (
	gptSignature  = "EFI PART"
	gptHeader     = 92
	gptHeaderCRC  = 16
	gptTableLBA   = 72
	gptCount      = 80
	gptEntrySize  = 84
	gptTableCRC   = 88
	maxGPTEntries = 1024
)

var errGPT = errors.New("the GPT is damaged")

// readGPT reads the partitions that are in use. The kernel numbers them by their
// place in the table, which is the order here.
func readGPT(image io.ReaderAt, size int64) ([]entry, error) {
	header := make([]byte, Sector)
	if _, err := image.ReadAt(header, Sector); err != nil || !bytes.HasPrefix(header, []byte(gptSignature)) {
		return nil, errGPT
	}
	le := binary.LittleEndian
	sum := le.Uint32(header[gptHeaderCRC:])
	le.PutUint32(header[gptHeaderCRC:], 0)
	lba, count, each := le.Uint64(header[gptTableLBA:]), le.Uint32(header[gptCount:]), le.Uint32(header[gptEntrySize:])
	if le.Uint32(header[12:]) != gptHeader || crc32.ChecksumIEEE(header[:gptHeader]) != sum ||
		each != 128 || count > maxGPTEntries || lba < 2 || lba > uint64(size)/Sector {
		return nil, errGPT
	}
	table := make([]byte, count*each)
	if _, err := image.ReadAt(table, int64(lba)*Sector); err != nil || crc32.ChecksumIEEE(table) != le.Uint32(header[gptTableCRC:]) {
		return nil, errGPT
	}
	var found []entry
	for slot := range int(count) {
		b := table[slot*int(each):][:each]
		if bytes.Equal(b[:16], make([]byte, 16)) {
			continue
		}
		first, last := le.Uint64(b[32:]), le.Uint64(b[40:])
		if first > last || last >= uint64(size)/Sector {
			return nil, errGPT
		}
		found = append(found, entry{
			slot: slot, kind: 0x83, // Linux
			Extent: Extent{Start: int64(first) * Sector, Size: int64(last-first+1) * Sector},
		})
	}
	return found, nil
}
