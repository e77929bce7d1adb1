// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// superblock is what is used of ext4's (Documentation/filesystems/ext4 of the
// kernel, "Super Block").
type superblock struct {
	blockSize          int64
	blocks, freeBlocks uint64
	freeInodes         uint32
	// written is when the file system was last written.
	written time.Time
	uuid    [16]byte
}

const (
	superblockOffset = 1024
	superblockSize   = 1024
	magic            = 0xef53
	// stateClean is the only state of a file system that was unmounted and has
	// no known error.
	stateClean = 1
	// needsRecovery: the journal has changes that are not in place yet.
	needsRecovery = 0x4
	// is64bit: the counts have an upper half.
	is64bit = 0x80
)

// ErrNotExt4 is for what has another file system, or none.
var ErrNotExt4 = errors.New("it is not an ext4 file system")

func parseSuperblock(b []byte) (superblock, error) {
	le := binary.LittleEndian
	if len(b) < superblockSize || le.Uint16(b[0x38:]) != magic {
		return superblock{}, ErrNotExt4
	}
	shift, incompatible := le.Uint32(b[0x18:]), le.Uint32(b[0x60:])
	if shift > 6 {
		return superblock{}, fmt.Errorf("the ext4 superblock is damaged: block size 2^%d", uint64(shift)+10)
	}
	if incompatible&needsRecovery != 0 || le.Uint16(b[0x3a:])&0xf != stateClean {
		return superblock{}, errors.New("the ext4 file system was not unmounted cleanly: mount and unmount it, or run e2fsck on its partition")
	}
	s := superblock{
		blockSize:  1024 << shift,
		blocks:     uint64(le.Uint32(b[0x4:])),
		freeBlocks: uint64(le.Uint32(b[0xc:])),
		freeInodes: le.Uint32(b[0x10:]),
		written:    time.Unix(int64(le.Uint32(b[0x30:]))|int64(b[0x274])<<32, 0).UTC(),
		uuid:       [16]byte(b[0x68:]),
	}
	if incompatible&is64bit != 0 {
		s.blocks |= uint64(le.Uint32(b[0x150:])) << 32
		s.freeBlocks |= uint64(le.Uint32(b[0x158:])) << 32
	}
	if s.blocks == 0 || s.blocks > 1<<40/uint64(s.blockSize) || s.freeBlocks > s.blocks {
		return superblock{}, fmt.Errorf("the ext4 superblock is damaged: %d blocks, %d free", s.blocks, s.freeBlocks)
	}
	return s, nil
}
