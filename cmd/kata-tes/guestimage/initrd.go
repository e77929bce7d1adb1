// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"os"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/initrd"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// ramdisk is an initrd.
type ramdisk struct {
	image   *source
	size    int64
	archive *initrd.Archive
}

// openInitrd reads the first size bytes.
func openInitrd(ctx context.Context, image *source, size int64, folder string) (*ramdisk, error) {
	archive, err := initrd.Open(ctx, image, size, folder)
	return &ramdisk{image: image, size: size, archive: archive}, err
}

func (r *ramdisk) guest() guestTree { return guestTree{Tree: r.archive, init: "/init"} }

// measure: an initrd is measured as a whole.
func (r *ramdisk) measure(context.Context, []verity.Params) (*Measured, error) { return nil, nil }

func (r *ramdisk) close() error { return r.archive.Close() }

// assemble writes the initrd with an archive behind it.
func (r *ramdisk) assemble(ctx context.Context, to *os.File, steps []tree.Step) error {
	appendix, err := initrd.Appendix(steps)
	if err != nil {
		return err
	}
	at := r.size + initrd.Padding(r.size)
	if err := to.Truncate(at + int64(len(appendix))); err != nil {
		return err
	}
	if err := copySparse(ctx, to, 0, r.image, 0, r.size); err != nil {
		return err
	}
	_, err = to.WriteAt(appendix, at)
	return err
}
