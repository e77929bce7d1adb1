// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// Kind of a guest image.
type Kind string

// The kinds.
const (
	Rootfs Kind = "rootfs"
	Initrd Kind = "initrd"
)

// source is an image that is read.
type source struct {
	*os.File
	kind Kind
	size int64
}

// openSource opens an image and looks of which kind it is.
func openSource(path string) (*source, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own choice
	if err != nil {
		return nil, fmt.Errorf("the guest image: %w", err)
	}
	s := &source{File: f}
	if err := s.look(); err != nil {
		return nil, errors.Join(fmt.Errorf("the guest image %s: %w", path, err), f.Close())
	}
	return s, nil
}

func (s *source) look() error {
	info, err := s.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	s.size = info.Size()
	start := make([]byte, 2048)
	n, err := s.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s.kind, err = kindOf(start[:n])
	return err
}

// kindOf tells by how an image begins.
func kindOf(start []byte) (Kind, error) {
	begins := func(magic string) bool { return strings.HasPrefix(string(start), magic) }
	at := func(offset int, magic string) bool {
		return len(start) >= offset+len(magic) && string(start[offset:][:len(magic)]) == magic
	}
	for _, magic := range []string{"07070", "\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh", "\x5d\x00\x00", "\x89LZO", "\x02\x21\x4c\x18"} {
		if begins(magic) {
			return Initrd, nil
		}
	}
	switch {
	case begins("QFI\xfb"):
		return "", errors.New("it is in the format qcow2: make a raw one of it (qemu-img convert -O raw)")
	case at(1080, "\x53\xef") && !at(510, "\x55\xaa"):
		return "", errors.New("it is an ext4 file system without partition table: Kata's images have one, make it with Kata's image_builder.sh")
	case at(510, "\x55\xaa"):
		return Rootfs, nil
	}
	return "", errors.New("it is neither a rootfs image (there is no partition table) nor an initrd (there is no cpio archive)")
}

// opened is an image that was taken apart.
type opened interface {
	// guest is its files.
	guest() guestTree
	// measure says how it is measured; nil when it isn't. The candidates are
	// tried where the image doesn't say how its hash tree was made.
	measure(ctx context.Context, candidates []verity.Params) (*Measured, error)
	close() error
}

// open takes the image apart, in a folder of its own.
func (s *source) open(ctx context.Context, folder string) (opened, error) {
	if s.kind == Initrd {
		return openInitrd(ctx, s, s.size, folder)
	}
	return openRootfs(ctx, s, folder)
}
