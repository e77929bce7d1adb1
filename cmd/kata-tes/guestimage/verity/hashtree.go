// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package verity makes and checks dm-verity's hash tree: as veritysetup does,
// but in place, within an image and without that program, which few nodes have.
// The format is small and fixed by the kernel
// (Documentation/admin-guide/device-mapper/verity.rst, cryptsetup's wiki page
// DMVerity): hash type 1, SHA-256, as Kata's runtime has it in its kernel
// parameters.
package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

const (
	// BlockSize is Kata's, of data and of hashes, in bytes.
	BlockSize = 4096
	maxBlock  = 64 << 10
	maxSalt   = 256
)

// Params say how a tree is made.
type Params struct {
	Salt []byte
	// DataBlocks is how many blocks of DataBlockSize bytes are hashed.
	DataBlocks int64
	// DataBlockSize and HashBlockSize in bytes, powers of two.
	DataBlockSize, HashBlockSize int64
}

// Check says whether a tree can be made so.
func (p Params) Check() error {
	for _, size := range []int64{p.DataBlockSize, p.HashBlockSize} {
		if size < 512 || size > maxBlock || size&(size-1) != 0 {
			return fmt.Errorf("dm-verity's block size is %d bytes, and must be a power of two from 512 to %d", size, maxBlock)
		}
	}
	if p.DataBlocks < 2 || p.DataBlocks > 1<<40/p.DataBlockSize {
		return fmt.Errorf("dm-verity can't cover %d blocks", p.DataBlocks)
	}
	if len(p.Salt) == 0 || len(p.Salt) > maxSalt {
		return fmt.Errorf("dm-verity's salt has %d bytes, and must have 1 to %d", len(p.Salt), maxSalt)
	}
	return nil
}

// TreeSize is how many bytes the tree takes.
func (p Params) TreeSize() int64 {
	blocks := int64(0)
	for n := p.DataBlocks; n > 1; {
		n = p.blocksFor(n)
		blocks += n
	}
	return blocks * p.HashBlockSize
}

// blocksFor is how many blocks the hashes of n blocks take.
func (p Params) blocksFor(n int64) int64 {
	each := p.HashBlockSize / sha256.Size
	return (n + each - 1) / each
}

// Tree is a hash tree, the root's level first, as it is on the disk.
type Tree struct {
	Root  [sha256.Size]byte
	Bytes []byte
}

// Build hashes the data.
func Build(ctx context.Context, p Params, data io.ReaderAt) (Tree, error) {
	if err := p.Check(); err != nil {
		return Tree{}, err
	}
	level, err := p.hashAll(ctx, data, p.DataBlocks, p.DataBlockSize)
	if err != nil {
		return Tree{}, err
	}
	levels := [][]byte{level}
	for int64(len(level)) > p.HashBlockSize {
		if level, err = p.hashAll(ctx, bytes.NewReader(level), int64(len(level))/p.HashBlockSize, p.HashBlockSize); err != nil {
			return Tree{}, err
		}
		levels = append(levels, level)
	}
	t := Tree{Root: p.hash(level)}
	for i := len(levels) - 1; i >= 0; i-- {
		t.Bytes = append(t.Bytes, levels[i]...)
	}
	return t, nil
}

func (p Params) hash(block []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(p.Salt)
	h.Write(block)
	h.Sum(sum[:0])
	return sum
}

// hashAll gives the hashes of n blocks, filled up with zeros to whole blocks.
func (p Params) hashAll(ctx context.Context, data io.ReaderAt, n, size int64) ([]byte, error) {
	hashes := make([]byte, 0, p.blocksFor(n)*p.HashBlockSize)
	// Large reads: the data is a file.
	chunk := make([]byte, max(size, 1<<20))
	for at := int64(0); at < n*size; {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		part := chunk[:min(int64(len(chunk)), n*size-at)]
		// A reader may say at once that it has no more.
		if read, err := data.ReadAt(part, at); read < len(part) {
			return nil, fmt.Errorf("hashing the root file system: %w", err)
		}
		at += int64(len(part))
		for ; len(part) > 0; part = part[size:] {
			sum := p.hash(part[:size])
			hashes = append(hashes, sum[:]...)
		}
	}
	return hashes[:cap(hashes)], nil
}

// Stored says whether hashes, a partition or a file, have this tree at an offset.
func (t Tree) Stored(hashes io.ReaderAt, at int64) (bool, error) {
	stored := make([]byte, len(t.Bytes))
	if _, err := hashes.ReadAt(stored, at); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading the hash tree: %w", err)
	}
	return bytes.Equal(stored, t.Bytes), nil
}
