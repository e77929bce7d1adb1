// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// SuperblockSize is how much of the hash partition it takes, in bytes; the tree
// begins at the next hash block.
const SuperblockSize = 512

// The superblock's fields (cryptsetup, lib/verity/verity.c).
const (
	superMagic     = "verity\x00\x00"
	superVersion   = 8
	superHashType  = 12
	superAlgorithm = 32
	superDataSize  = 64
	superHashSize  = 68
	superBlocks    = 72
	superSaltSize  = 80
	superSalt      = 88
)

// ErrNoSuperblock is for a hash partition without one.
var ErrNoSuperblock = errors.New("there is no dm-verity superblock")

// ParseSuperblock reads it.
func ParseSuperblock(b []byte) (Params, error) {
	if len(b) < SuperblockSize || !bytes.HasPrefix(b, []byte(superMagic)) {
		return Params{}, ErrNoSuperblock
	}
	le := binary.LittleEndian
	algorithm, _, _ := bytes.Cut(b[superAlgorithm:superDataSize], []byte{0})
	if le.Uint32(b[superVersion:]) != 1 || le.Uint32(b[superHashType:]) != 1 || string(algorithm) != "sha256" {
		return Params{}, fmt.Errorf("the dm-verity superblock has version %d, hash type %d, algorithm %.32q; 1, 1 and sha256 are understood",
			le.Uint32(b[superVersion:]), le.Uint32(b[superHashType:]), algorithm)
	}
	p := Params{DataBlockSize: int64(le.Uint32(b[superDataSize:])), HashBlockSize: int64(le.Uint32(b[superHashSize:]))}
	salt, blocks := int(le.Uint16(b[superSaltSize:])), le.Uint64(b[superBlocks:])
	if salt > maxSalt || blocks > 1<<40 {
		return Params{}, errors.New("the dm-verity superblock is damaged")
	}
	p.DataBlocks, p.Salt = int64(blocks), bytes.Clone(b[superSalt:superSalt+salt])
	return p, p.Check()
}

// UpdateSuperblock writes salt and number of blocks into it; all else stays.
func UpdateSuperblock(b []byte, p Params) error {
	if len(b) < SuperblockSize {
		return ErrNoSuperblock
	}
	if err := p.Check(); err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b[superBlocks:], uint64(p.DataBlocks))
	binary.LittleEndian.PutUint16(b[superSaltSize:], uint16(len(p.Salt)))
	clear(b[superSalt : superSalt+maxSalt])
	copy(b[superSalt:], p.Salt)
	return nil
}
