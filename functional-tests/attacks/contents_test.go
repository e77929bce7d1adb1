// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
)

// bait is what the host would like to see in the guest.
const bait = "a-program-of-the-host's-choice"

var contentsTests = tests{
	"contents/luks":      func(a *attempt) { luksDisk(a, "aes-xts-plain64", "512") },
	"contents/luks-null": func(a *attempt) { luksDisk(a, "cipher_null-ecb", "256") },
	"contents/ext4": func(a *attempt) {
		a.formatted(size, func(d *disk) { a.host("mkfs.ext4", "-q", "-F", "-d", a.baited(), d.path) })
	},
	"contents/xfs": func(a *attempt) {
		const smallest = 320 * mib
		a.formatted(smallest, func(d *disk) { a.host("mkfs.xfs", "-q", d.path) })
	},
	"contents/lvm": func(a *attempt) {
		a.formatted(size, func(d *disk) {
			loop := a.host("losetup", "--find", "--show", d.path)
			defer a.host("losetup", "--detach", loop)
			a.host("pvcreate", "--quiet", loop)
		})
	},
	"contents/md": func(a *attempt) {
		a.formatted(size, func(d *disk) {
			// Version 1.2: magic number and version, 4 KiB from the beginning
			// (Linux, include/uapi/linux/raid/md_p.h).
			d.write(4096, binary.LittleEndian.AppendUint32(nil, 0xa92b4efc))
			d.write(4100, binary.LittleEndian.AppendUint32(nil, 1))
		})
	},
	"contents/gpt": partitioned(gpt()),
	"contents/mbr": partitioned(mbr(0x83, 2048)),
}

// baited is a folder with the bait in it.
func (a *attempt) baited() string {
	folder := a.TempDir()
	require.NoError(a, os.WriteFile(filepath.Join(folder, "bait"), []byte(bait), 0o755))
	return folder
}

// formatted offers a disk with contents: they are gone, and so are the
// signatures.
func (a *attempt) formatted(size int64, fill func(d *disk)) {
	d := a.disk(size)
	fill(d)
	marker := agentproto.NewMarker()
	d.plug(marker)
	a.mustPrepare(marker)
	a.requireEmptyStore()
	a.mustRelease(marker)
	d.requireErased()
}

func luksDisk(a *attempt, cipher, keySize string) {
	d := a.disk(size)
	h := a.makeHeader(d.path, cipher, keySize)
	// Control: this is how the host would read the guest's files.
	h.open(d, func(mapped string) {
		a.host("mkfs.ext4", "-q", "-F", "-d", a.baited(), mapped)
	})
	require.True(a, h.shows(d, bait), "the host can't even read what it wrote itself")
	marker := agentproto.NewMarker()
	d.plug(marker)
	a.mustPrepare(marker)
	a.requireEmptyStore()
	a.requireSecret(d, h)
	a.mustRelease(marker)
	d.requireErased()
}

// partitioned offers a disk with a partition table at its beginning.
func partitioned(table []byte) func(a *attempt) {
	return func(a *attempt) {
		d := a.disk(size)
		d.write(0, table)
		marker := agentproto.NewMarker()
		d.plug(marker)
		a.refused(a.tryPrepare(marker))
		require.Equal(a, table, d.read(0, int64(len(table))), "the disk was written to")
	}
}

const sector = 512

// mbr is a master boot record with one partition, of 16 MiB.
func mbr(kind byte, start uint32) []byte {
	const entry = 446
	table := make([]byte, sector)
	table[entry+4] = kind
	binary.LittleEndian.PutUint32(table[entry+8:], start)
	binary.LittleEndian.PutUint32(table[entry+12:], 32768)
	table[510], table[511] = 0x55, 0xaa
	return table
}

// gpt is a GUID partition table with one partition (UEFI Specification, 5.3).
func gpt() []byte {
	const entries, entrySize, first = 128, 128, 2
	list := make([]byte, entries*entrySize)
	copy(list, "linux-filesystem") // type: any that is not zero
	copy(list[16:], "this-very-partit")
	binary.LittleEndian.PutUint64(list[32:], 2048)
	binary.LittleEndian.PutUint64(list[40:], 2048+32768-1)

	const last = size/sector - 1
	head := make([]byte, sector)
	copy(head, "EFI PART")
	binary.LittleEndian.PutUint32(head[8:], 0x10000) // revision
	const headSize = 92
	binary.LittleEndian.PutUint32(head[12:], headSize)
	for at, value := range map[int]uint64{24: 1, 32: last, 40: first + entries*entrySize/sector, 48: last - 33, 72: first} {
		binary.LittleEndian.PutUint64(head[at:], value)
	}
	binary.LittleEndian.PutUint32(head[80:], entries)
	binary.LittleEndian.PutUint32(head[84:], entrySize)
	binary.LittleEndian.PutUint32(head[88:], crc32.ChecksumIEEE(list))
	binary.LittleEndian.PutUint32(head[16:], crc32.ChecksumIEEE(head[:headSize]))

	const protective = 0xee
	return slices.Concat(mbr(protective, 1), head, list)
}
