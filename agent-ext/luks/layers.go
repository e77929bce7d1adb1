// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import "strconv"

// layer is one mapping of a volume as it has to be: everything but its number.
type layer struct {
	name string
	// uuids are beginnings, one of which the uuid must have: cryptsetup's names
	// for the kind.
	uuids []string
	kind  string
	// sectors of 512 bytes.
	sectors uint64
	// parameters of the one target, in which below and key stand for something.
	parameters []string
	keyBits    int
}

// Placeholders in a layer's parameters: the device number of what it lies on,
// and a key.
const (
	belowHere = "<below>"
	keyHere   = "<key>"
)

// layers of the volume, the lowest first.
func (v Volume) layers() []layer {
	names := v.Encryption.Mappings(v.Mapping)
	crypt := layer{
		name: names[len(names)-1], uuids: []string{"CRYPT-LUKS2-"}, kind: "crypt",
		sectors: v.sectors(), keyBits: v.Encryption.liveKeyBits(),
	}
	options := v.Encryption.liveOptions()
	offset := dataOffset
	if v.Encryption.seal != nil {
		offset = 0 // the layer below has it
	}
	// Cipher, key, IV offset, device, offset, number of options, options
	// (kernel, admin-guide/device-mapper/dm-crypt.rst).
	crypt.parameters = append([]string{
		v.Encryption.liveCipher(), keyHere, "0", belowHere, strconv.Itoa(offset), strconv.Itoa(len(options)),
	}, options...)
	if v.Encryption.seal == nil {
		return []layer{crypt}
	}
	tag := v.Encryption.seal.bytes
	sealed := layer{
		name: names[0], uuids: []string{"CRYPT-INTEGRITY-", "CRYPT-SUBDEV-"}, kind: "integrity", sectors: crypt.sectors,
		parameters: append([]string{belowHere}, layOut(v.Size/512, tag).table(tag)...),
	}
	return []layer{sealed, crypt}
}

// sectors is the length of the volume in 512-byte sectors: what is left of the
// disk after the offset, in whole encryption sectors, less what tags take.
func (v Volume) sectors() uint64 {
	if v.Encryption.seal != nil {
		return layOut(v.Size/512, v.Encryption.seal.bytes).data
	}
	const each = encryptionSector / 512
	return (v.Size/512 - dataOffset) / each * each
}
