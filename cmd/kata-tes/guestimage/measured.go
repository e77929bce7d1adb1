// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/disk"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// Measured is how a rootfs image is measured.
type Measured struct {
	// RootHash of the hash tree, hexadecimal; empty when it is not known how the
	// tree was made.
	RootHash string `json:"rootHash,omitempty"`
	// KernelVerityParams is the value for Kata 3.27 and later, KernelParams the
	// words for those before, in whose images the hash tree has a superblock.
	KernelVerityParams string `json:"kernelVerityParams,omitempty"`
	KernelParams       string `json:"kernelParams,omitempty"`

	params verity.Params
	root   []byte
	// super is the superblock; nil in a hash partition that has none.
	super []byte
}

// measure finds out how the image is measured, and refuses one whose superblock
// and hash tree don't belong to its root file system. Without superblock the
// parameters of the tree are those of a candidate, or ours.
func (r *rootfs) measure(ctx context.Context, candidates []verity.Params) (*Measured, error) {
	if r.layout.Hash == nil {
		return nil, nil
	}
	start := make([]byte, verity.BlockSize)
	if _, err := r.image.ReadAt(start, r.layout.Hash.Start); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	params, err := verity.ParseSuperblock(start)
	switch {
	case err == nil:
		return r.withSuperblock(ctx, params, start[:verity.SuperblockSize])
	case !errors.Is(err, verity.ErrNoSuperblock):
		return nil, err
	case bytes.Equal(start, make([]byte, len(start))):
		return nil, errors.New("the second partition is empty, where the dm-verity hash tree should be: make the image anew")
	}
	ours := r.params(r.layout.Root.Size, nil)
	for _, params := range append(candidates, ours) {
		if params.DataBlocks*params.DataBlockSize > r.layout.Root.Size {
			continue
		}
		found, err := r.try(ctx, params, 0)
		if err != nil || found != nil {
			return found, err
		}
	}
	return &Measured{params: ours}, nil
}

func (r *rootfs) withSuperblock(ctx context.Context, params verity.Params, super []byte) (*Measured, error) {
	if params.DataBlocks*params.DataBlockSize > r.layout.Root.Size {
		return nil, errors.New("the dm-verity hash tree is for a larger root file system: the image is damaged")
	}
	found, err := r.try(ctx, params, params.HashBlockSize)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, errors.New("the dm-verity hash tree is not that of the root file system: the image is damaged, or was changed by somebody: take the original")
	}
	found.super = super
	found.KernelVerityParams, found.KernelParams = "", verity.KernelParams("", found.root)
	return found, nil
}

// try gives nil when the stored tree is another one.
func (r *rootfs) try(ctx context.Context, params verity.Params, at int64) (*Measured, error) {
	root, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	hashes, err := verity.Build(ctx, params, root)
	if err != nil {
		return nil, err
	}
	if at+int64(len(hashes.Bytes)) > r.layout.Hash.Size {
		return nil, nil
	}
	same, err := hashes.Stored(r.image, r.layout.Hash.Start+at)
	if err != nil || !same {
		return nil, err
	}
	return &Measured{
		RootHash: hex.EncodeToString(hashes.Root[:]), KernelVerityParams: verity.KernelVerityParams(params, hashes.Root[:]),
		params: params, root: hashes.Root[:],
	}, nil
}

// params are those of a tree over a root partition of size bytes. Without a salt
// it is one of the file system's own, so that the tree can be made and checked
// again by whoever has the image: dm-verity's salt is no secret.
func (r *rootfs) params(size int64, salt []byte) verity.Params {
	if len(salt) == 0 {
		uuid := r.fs.UUID()
		sum := sha256.Sum256(append([]byte("kata-tes guest-image: salt of the hash tree\x00"), uuid[:]...))
		salt = sum[:]
	}
	return verity.Params{
		Salt: salt, DataBlocks: size / verity.BlockSize, DataBlockSize: verity.BlockSize, HashBlockSize: verity.BlockSize,
	}
}

// assembleHash writes the hash tree of the changed root file system, and the
// superblock where there was one.
func (r *rootfs) assembleHash(ctx context.Context, to *os.File, root io.ReaderAt, layout disk.Layout, old *Measured, salt []byte) error {
	params := r.params(layout.Root.Size, salt)
	at := layout.Hash.Start
	if old.super != nil {
		params = old.params
		params.DataBlocks = layout.Root.Size / params.DataBlockSize
		if len(salt) > 0 {
			params.Salt = salt
		}
		super := bytes.Clone(old.super)
		if err := verity.UpdateSuperblock(super, params); err != nil {
			return err
		}
		if _, err := to.WriteAt(super, at); err != nil {
			return err
		}
		at += params.HashBlockSize
	}
	hashes, err := verity.Build(ctx, params, root)
	if err != nil {
		return err
	}
	if end := at + int64(len(hashes.Bytes)); end > layout.Hash.End() {
		return fmt.Errorf("the hash tree needs %d bytes more than its partition has: make the image anew", end-layout.Hash.End())
	}
	return writeSparse(to, hashes.Bytes, at)
}
