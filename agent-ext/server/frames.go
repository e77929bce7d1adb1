// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import "encoding/binary"

const (
	// frameHeader: length (4 bytes, big endian), stream (4), type, flags
	// (ttrpc, PROTOCOL.md).
	frameHeader = 10
	// frameRequest is the type of a request, the only one in a service without
	// streams.
	frameRequest = 1
	// maxFrame bounds a request in bytes. Ours have about a hundred; ttrpc's
	// own bound is 4 MiB.
	maxFrame = 16 << 10
)

// frames follows the frames in a stream of bytes. ttrpc's server allocates what
// a header announces, and does not survive a data frame for a call without a
// stream: neither must reach it.
type frames struct {
	header [frameHeader]byte
	have   int
	// left of the frame's payload in bytes.
	left uint32
	// begun is how many frames there were.
	begun int64
}

// allow says whether the stream of a caller may go on with p.
func (f *frames) allow(p []byte) bool {
	return f.follow(p, func(length uint32, kind byte) bool { return length <= maxFrame && kind == frameRequest })
}

// follow goes on with p until allowed refuses a frame.
func (f *frames) follow(p []byte, allowed func(length uint32, kind byte) bool) bool {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(uint64(f.left), uint64(len(p)))
			f.left -= uint32(n)
			p = p[n:]
			continue
		}
		n := copy(f.header[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have < frameHeader {
			continue
		}
		f.have = 0
		f.left = binary.BigEndian.Uint32(f.header[:])
		f.begun++
		if !allowed(f.left, f.header[8]) {
			return false
		}
	}
	return true
}

// answers says how many frames of ours begin in p.
func (f *frames) answers(p []byte) int64 {
	before := f.begun
	f.follow(p, func(uint32, byte) bool { return true })
	return f.begun - before
}
