// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package initrd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The format newc (Documentation/driver-api/early-userspace/buffer-format.rst
// of the kernel): a header of 110 characters, the name, the contents; both end
// at a multiple of 4 bytes.
const (
	magicNewc, magicCRC = "070701", "070702"
	headerSize          = 110
	fieldCount          = 13
	fieldSize           = 8
	trailer             = "TRAILER!!!"
	alignment           = 4
	// maxName is Linux' PATH_MAX, also of a link's target, in bytes.
	maxName = 4096
)

// header is what is used of an entry's.
type header struct {
	ino, mode, uid, gid, nlink, mtime uint32
	size                              uint32
	devMajor, devMinor                uint32
	name                              string
}

// readHeader reads the entry at an offset, and says where its contents begin.
func readHeader(r io.ReaderAt, at, end int64) (h header, content int64, err error) {
	b := make([]byte, headerSize)
	if end-at < headerSize {
		return header{}, 0, errors.New("the archive is cut off")
	}
	if _, err := r.ReadAt(b, at); err != nil {
		return header{}, 0, fmt.Errorf("the archive is cut off: %w", err)
	}
	if magic := string(b[:len(magicNewc)]); magic != magicNewc && magic != magicCRC {
		return header{}, 0, fmt.Errorf("the archive is damaged at %d: there is no cpio entry of the format newc", at)
	}
	var fields [fieldCount]uint32
	for i := range fields {
		text := string(b[len(magicNewc)+i*fieldSize:][:fieldSize])
		n, err := strconv.ParseUint(text, 16, 32)
		if err != nil {
			return header{}, 0, fmt.Errorf("the archive is damaged at %d: %q is no number", at, text)
		}
		fields[i] = uint32(n)
	}
	h = header{
		ino: fields[0], mode: fields[1], uid: fields[2], gid: fields[3], nlink: fields[4], mtime: fields[5],
		size: fields[6], devMajor: fields[7], devMinor: fields[8],
	}
	h.name, err = readName(r, at+headerSize, end, int64(fields[11]))
	if err != nil {
		return header{}, 0, fmt.Errorf("the archive is damaged at %d: %w", at, err)
	}
	content = align(at + headerSize + int64(fields[11]))
	if h.name != trailer && content+int64(h.size) > end {
		return header{}, 0, errors.New("the archive is cut off")
	}
	return h, content, nil
}

func readName(r io.ReaderAt, at, end, size int64) (string, error) {
	if size < 1 || size > maxName || at+size > end {
		return "", fmt.Errorf("a name of %d bytes", size)
	}
	name := make([]byte, size)
	if _, err := r.ReadAt(name, at); err != nil {
		return "", err
	}
	if bytes.IndexByte(name, 0) != len(name)-1 {
		return "", errors.New("a name that does not end where it says")
	}
	return string(name[:size-1]), nil
}

// isClean says whether a name leads where it says.
func isClean(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return false
		}
	}
	return true
}

// appendEntry writes an entry behind what is there, which has a length that is a
// multiple of 4.
func appendEntry(archive []byte, h header, content []byte) []byte {
	archive = append(archive, magicNewc...)
	for _, field := range [fieldCount]uint32{
		h.ino, h.mode, h.uid, h.gid, h.nlink, h.mtime, uint32(len(content)), h.devMajor, h.devMinor, 0, 0,
		uint32(len(h.name) + 1), 0,
	} {
		archive = fmt.Appendf(archive, "%08x", field)
	}
	archive = pad(append(append(archive, h.name...), 0))
	return pad(append(archive, content...))
}

func pad(b []byte) []byte { return append(b, make([]byte, align(int64(len(b)))-int64(len(b)))...) }

func align(n int64) int64 { return (n + alignment - 1) / alignment * alignment }
