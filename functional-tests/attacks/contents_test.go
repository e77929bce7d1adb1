// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"encoding/binary"
	"os"
	"path/filepath"

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
	"contents/gpt": func(a *attempt) { partitioned(a, "gpt") },
	"contents/mbr": func(a *attempt) { partitioned(a, "dos") },
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

func partitioned(a *attempt, label string) {
	d := a.disk(size)
	a.hostWith("label: "+label+"\nstart=2048, size=32768\n", "sfdisk", "--quiet", d.path)
	const area = 1 * mib
	before := d.read(0, area)
	marker := agentproto.NewMarker()
	d.plug(marker)
	a.refused(a.tryPrepare(marker))
	require.Equal(a, before, d.read(0, area), "the disk was written to")
}
