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
}

// allow says whether the stream may go on with p.
func (f *frames) allow(p []byte) bool {
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
		if f.left > maxFrame || f.header[8] != frameRequest {
			return false
		}
	}
	return true
}
