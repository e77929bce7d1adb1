// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package initrd

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow is how much memory an archive may ask for, in bytes: that of xz -9
// twice.
const maxWindow = 128 << 20

var errCutOff = errors.New("it is cut off")

// measureGzip reads the member to its end: only its contents say where that is.
func measureGzip(r io.ReaderAt, at, end int64) (int64, error) {
	counted := &counter{r: bufio.NewReaderSize(io.NewSectionReader(r, at, end-at), 256<<10)}
	member, err := gzip.NewReader(counted)
	if err != nil {
		return 0, err
	}
	member.Multistream(false)
	_, err = io.Copy(io.Discard, io.LimitReader(member, maxContent+1))
	return counted.n, err
}

// counter counts what is taken from it. It gives single bytes, so that gzip
// takes no more than it needs.
type counter struct {
	r *bufio.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func openGzip(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

// measureZstd goes from block to block of the frame (RFC 8878, 3.1.1).
func measureZstd(r io.ReaderAt, at, end int64) (int64, error) {
	first := make([]byte, zstd.HeaderMaxSize)
	n, err := r.ReadAt(first[:min(int64(len(first)), end-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(first[:n]); err != nil {
		return 0, err
	}
	const blockHeader, checksum = 3, 4
	for here := at + int64(h.HeaderSize); ; {
		b := make([]byte, blockHeader)
		if end-here < blockHeader {
			return 0, errCutOff
		}
		if _, err := r.ReadAt(b, here); err != nil {
			return 0, err
		}
		word := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		size, kind, last := int64(word>>3), word>>1&3, word&1 == 1
		if kind == 1 { // one byte, to be repeated
			size = 1
		}
		here += blockHeader + size
		if !last {
			continue
		}
		if h.HasCheckSum {
			here += checksum
		}
		if here > end {
			return 0, errCutOff
		}
		return here - at, nil
	}
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxContent), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func openXz(r io.Reader) (io.ReadCloser, error) {
	x, err := xz.ReaderConfig{SingleStream: true}.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(x), nil
}

// measureXz goes over blocks, index and footer of the stream (the .xz file
// format, version 1.2.1).
func measureXz(r io.ReaderAt, at, end int64) (int64, error) {
	s := &xzStream{r: r, at: at, end: end}
	head := s.take(xzHeader)
	if s.err != nil {
		return 0, s.err
	}
	check := xzCheckSizes[head[7]&0xf]
	for s.err == nil && s.block(check) {
		continue
	}
	s.index()
	if foot := s.take(xzHeader); s.err == nil && string(foot[10:]) != "YZ" {
		s.err = errors.New("the xz stream is damaged: it has no footer")
	}
	return s.at - at, s.err
}

const xzHeader = 12 // of stream header and footer, in bytes

var xzCheckSizes = [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

// xzStream is a place in a stream; after an error it gives zeros.
type xzStream struct {
	r       io.ReaderAt
	at, end int64
	err     error
}

func (s *xzStream) take(n int64) []byte {
	b := make([]byte, n)
	if s.err == nil && s.end-s.at < n {
		s.err = errCutOff
	}
	if s.err == nil {
		_, s.err = s.r.ReadAt(b, s.at)
		s.at += n
	}
	if s.err != nil {
		clear(b)
	}
	return b
}

func (s *xzStream) skip(n int64) {
	if s.at += n; s.err == nil && (n < 0 || s.at > s.end) {
		s.err = errCutOff
	}
}

func (s *xzStream) number() (n uint64) {
	for shift := 0; s.err == nil && shift < 63; shift += 7 {
		b := s.take(1)[0]
		n |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return n
		}
	}
	return n
}

// block goes over a block; false at the index.
func (s *xzStream) block(check int64) bool {
	start := s.at
	size := (int64(s.take(1)[0]) + 1) * 4
	if s.err != nil || size == 4 {
		s.at = start
		return false
	}
	flags := s.take(1)[0]
	compressed := int64(-1)
	if flags&0x40 != 0 {
		compressed = int64(s.number())
	}
	if flags&0x80 != 0 {
		s.number()
	}
	for range flags&3 + 1 {
		s.filter()
	}
	s.at = start + size
	data := s.at
	if compressed >= 0 {
		s.skip(compressed)
	} else {
		s.chunks()
	}
	s.skip((4-(s.at-data)%4)%4 + check)
	return s.err == nil
}

// filter refuses one that asks for much memory.
func (s *xzStream) filter() {
	const lzma2 = 0x21
	id, properties := s.number(), s.take(int64(min(s.number(), 64)))
	if id != lzma2 || len(properties) != 1 {
		return
	}
	bits := properties[0] & 0x3f
	if window := uint64(2|bits&1) << (bits/2 + 11); window > maxWindow && s.err == nil {
		s.err = fmt.Errorf("it needs a window of %d MiB, more than %d", window>>20, maxWindow>>20)
	}
}

// chunks goes over LZMA2's.
func (s *xzStream) chunks() {
	for s.err == nil {
		switch control := s.take(1)[0]; {
		case control == 0:
			return
		case control == 1 || control == 2:
			s.skip(int64(binary.BigEndian.Uint16(s.take(2))) + 1)
		case control < 0x80:
			s.err = errors.New("the xz stream is damaged")
		default:
			size := int64(binary.BigEndian.Uint16(s.take(4)[2:])) + 1
			if control >= 0xc0 {
				size++
			}
			s.skip(size)
		}
	}
}

// index goes over the list of blocks.
func (s *xzStream) index() {
	start := s.at
	s.take(1)
	for range 2 * min(s.number(), 1<<20) {
		if s.err != nil {
			return
		}
		s.number()
	}
	s.skip((4-(s.at-start)%4)%4 + 4)
}
