// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/disk"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/ext4"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// rootfs is a rootfs image, with its root file system in a file of its own.
type rootfs struct {
	image  *source
	layout disk.Layout
	path   string
	fs     *ext4.FS
}

func openRootfs(ctx context.Context, image *source, folder string) (*rootfs, error) {
	layout, err := disk.Parse(image, image.size)
	if err != nil {
		return nil, err
	}
	r := &rootfs{image: image, layout: layout, path: filepath.Join(folder, "root")}
	if err := r.extract(ctx); err != nil {
		return nil, err
	}
	if r.fs, err = ext4.Open(r.path); err != nil {
		return nil, errors.Join(r.explain(err))
	}
	if size := int64(r.fs.Blocks()) * r.fs.BlockSize(); size > layout.Root.Size {
		return nil, fmt.Errorf("the root file system has %d bytes, its partition %d: the image is damaged", size, layout.Root.Size)
	}
	return r, r.fs.Check(ctx)
}

func (r *rootfs) extract(ctx context.Context) (err error) {
	root, err := os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.Truncate(r.layout.Root.Size); err != nil {
		return err
	}
	return copySparse(ctx, root, 0, r.image, r.layout.Root.Start, r.layout.Root.Size)
}

// explain says what there is instead of ext4, and what to do about it.
func (r *rootfs) explain(err error) error {
	if !errors.Is(err, ext4.ErrNotExt4) {
		return err
	}
	start := make([]byte, 2048)
	if _, err := r.image.ReadAt(start, r.layout.Root.Start); err != nil {
		return err
	}
	const remake = "kata-tes puts the agent extension into ext4 only: make the image with FS_TYPE=ext4 (the default of Kata's image_builder.sh), " +
		"or copy the files into the rootfs folder before the image is made of it (docs/install.md)"
	switch {
	case string(start[1024:1028]) == "\xe2\xe1\xf5\xe0":
		return errors.New("the root file system is EROFS, which can't be written to. " + remake)
	case string(start[:4]) == "XFSB":
		return errors.New("the root file system is XFS. " + remake)
	case string(start[:6]) == "LUKS\xba\xbe":
		return errors.New("the root file system is encrypted (LUKS). " + remake)
	}
	return errors.New("the first partition has no ext4 file system. " + remake)
}

func (r *rootfs) guest() guestTree { return guestTree{Tree: r.fs, init: "/sbin/init"} }

func (r *rootfs) close() error { return nil }

// change carries the steps out and gives the new image's layout.
func (r *rootfs) change(ctx context.Context, steps []tree.Step) (disk.Layout, error) {
	layout, err := r.makeRoom(ctx, steps)
	if err != nil {
		return disk.Layout{}, err
	}
	if err := r.fs.Apply(ctx, steps); err != nil {
		return disk.Layout{}, err
	}
	if err := r.fs.Check(ctx); err != nil {
		return disk.Layout{}, fmt.Errorf("after the change: %w", err)
	}
	return layout, nil
}

// makeRoom enlarges partition and file system where the steps need it.
func (r *rootfs) makeRoom(ctx context.Context, steps []tree.Step) (disk.Layout, error) {
	// debugfs takes blocks that are kept for root as well; some stay free.
	const spare = 1 << 20
	needed := int64(r.fs.BlocksFor(steps))*r.fs.BlockSize() + spare
	free := int64(r.fs.FreeBlocks()) * r.fs.BlockSize()
	if needed <= free && uint64(r.fs.FreeInodes()) >= uint64(len(steps)) {
		return r.layout, nil
	}
	// A group's bitmaps and inode tables, and the journal's like, take part of
	// what comes: an eighth is more than they ever do.
	more := needed - min(needed, free)
	more += more/8 + 8<<20
	grown, err := r.layout.Grow(more, func(root int64) int64 { return r.params(root, nil).TreeSize() + verity.BlockSize })
	if err != nil {
		return disk.Layout{}, err
	}
	if err := os.Truncate(r.path, grown.Root.Size); err != nil {
		return disk.Layout{}, err
	}
	return grown, r.fs.Resize(ctx)
}

// assemble writes the image with the changed root file system and, where it is
// measured, a new hash tree.
func (r *rootfs) assemble(ctx context.Context, to *os.File, layout disk.Layout, old *Measured, salt []byte) error {
	root, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	if err := to.Truncate(layout.Size); err != nil {
		return err
	}
	// What is before, between and behind the partitions, as it is.
	before, after := r.layout.Root, layout.Root
	if err := copySparse(ctx, to, 0, r.image, 0, before.Start); err != nil {
		return err
	}
	if err := copySparse(ctx, to, after.Start, root, 0, after.Size); err != nil {
		return err
	}
	if old != nil {
		if err := r.assembleHash(ctx, to, root, layout, old, salt); err != nil {
			return err
		}
		before, after = *r.layout.Hash, *layout.Hash
	}
	if err := copySparse(ctx, to, after.End(), r.image, before.End(), r.layout.Size-before.End()); err != nil {
		return err
	}
	if layout == r.layout {
		return nil
	}
	return layout.Write(to)
}
