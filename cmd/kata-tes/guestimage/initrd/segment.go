// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package initrd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// segment is one of the archives that an initrd consists of. The kernel unpacks
// them one after the other, each plain or compressed (init/initramfs.c).
type segment struct {
	// start and end in the initrd, in bytes.
	start, end int64
	compressed bool
	// ours: kata-tes has appended it.
	ours bool
}

const (
	// maxContent is how much all archives together may have, in bytes: more than
	// a guest's memory would hold.
	maxContent = 4 << 30
	// maxEntries of all archives together.
	maxEntries = 1 << 20
)

// compressions that the kernel knows, by how they begin.
var compressions = []struct {
	name  string
	magic string
	// measure says how long the compressed archive is; nil for those that can't
	// be read here.
	measure func(r io.ReaderAt, at, end int64) (int64, error)
	open    func(r io.Reader) (io.ReadCloser, error)
}{
	{name: "gzip", magic: "\x1f\x8b", measure: measureGzip, open: openGzip},
	{name: "zstd", magic: "\x28\xb5\x2f\xfd", measure: measureZstd, open: openZstd},
	{name: "xz", magic: "\xfd7zXZ\x00", measure: measureXz, open: openXz},
	{name: "bzip2", magic: "BZh"},
	{name: "lzma", magic: "\x5d\x00\x00"},
	{name: "lzo", magic: "\x89LZO"},
	{name: "lz4", magic: "\x02\x21\x4c\x18"},
}

// errUnknown is for what is no initrd.
var errUnknown = errors.New("it is no initrd: there is neither a cpio archive of the format newc nor a compressed one")

// load reads the archive at an offset into the tree, unpacking it first when it
// is compressed, and gives its segment.
func (a *Archive) load(ctx context.Context, r io.ReaderAt, at, end int64) (segment, error) {
	start := make([]byte, 8)
	if _, err := r.ReadAt(start, at); err != nil && !errors.Is(err, io.EOF) {
		return segment{}, err
	}
	if bytes.HasPrefix(start, []byte("07070")) {
		if at%alignment != 0 {
			return segment{}, fmt.Errorf("the archive at %d does not begin at a multiple of 4 bytes, where the kernel looks for it", at)
		}
		last, ours, err := a.loadPlain(r, at, end)
		return segment{start: at, end: last, ours: ours}, err
	}
	for _, c := range compressions {
		if !bytes.HasPrefix(start, []byte(c.magic)) {
			continue
		}
		if c.measure == nil {
			return segment{}, fmt.Errorf("the archive at %d is compressed by %s, which is not supported here: use gzip, zstd or xz", at, c.name)
		}
		length, err := c.measure(r, at, end)
		if err != nil {
			return segment{}, fmt.Errorf("the archive at %d, compressed by %s: %w", at, c.name, err)
		}
		if err := a.loadCompressed(ctx, io.NewSectionReader(r, at, length), c.open); err != nil {
			return segment{}, fmt.Errorf("the archive at %d, compressed by %s: %w", at, c.name, err)
		}
		return segment{start: at, end: at + length, compressed: true}, nil
	}
	return segment{}, errUnknown
}

func (a *Archive) loadCompressed(ctx context.Context, r io.Reader, open func(io.Reader) (io.ReadCloser, error)) error {
	reader, err := open(r)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // only read
	unpacked, err := os.CreateTemp(a.folder, "unpacked-")
	if err != nil {
		return err
	}
	a.files = append(a.files, unpacked)
	size, err := io.Copy(unpacked, io.LimitReader(contextReader{ctx, reader}, a.room+1))
	if err != nil {
		return fmt.Errorf("unpacking it: %w", err)
	}
	if a.room -= size; a.room < 0 {
		return fmt.Errorf("it has more than %d bytes, which is more than a guest holds", int64(maxContent))
	}
	for at := int64(0); ; {
		if at, err = skipZeros(unpacked, at, size); err != nil || at == size {
			return err
		}
		if at, _, err = a.loadPlain(unpacked, at, size); err != nil {
			return err
		}
	}
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// skipZeros gives the next byte that is not zero, which is what is between
// archives.
func skipZeros(r io.ReaderAt, at, end int64) (int64, error) {
	chunk := make([]byte, 64<<10)
	for at < end {
		part := chunk[:min(int64(len(chunk)), end-at)]
		if _, err := r.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i, b := range part {
			if b != 0 {
				return at + int64(i), nil
			}
		}
		at += int64(len(part))
	}
	return end, nil
}
