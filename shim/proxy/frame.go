// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Numbers of ttrpc's PROTOCOL.md, "Message Frame" and "Message Types".
const (
	headerSize = 10
	// maxData is the largest data of a frame that a receiver accepts.
	maxData = 4 << 20

	typeRequest  = 1
	typeResponse = 2
)

// bufferSize is what a direction of a connection has in memory. The frames of
// the Task API fit, apart from a rare large one.
const bufferSize = 8 << 10

// header is the head of a frame.
type header struct {
	length uint32
	stream uint32
	kind   uint8
	flags  uint8
}

func parseHeader(b []byte) header {
	return header{
		length: binary.BigEndian.Uint32(b[0:4]),
		stream: binary.BigEndian.Uint32(b[4:8]),
		kind:   b[8],
		flags:  b[9],
	}
}

func (h header) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, h.length)
	b = binary.BigEndian.AppendUint32(b, h.stream)
	return append(b, h.kind, h.flags)
}

// size is the length of the whole frame in bytes; 64 bits, because a hostile
// header may say 4 GiB.
func (h header) size() int64 { return headerSize + int64(h.length) }

// frameReader cuts a stream of bytes into frames without copying them. After
// next, exactly one of whole, pass and discard takes the frame.
type frameReader struct {
	source   io.Reader
	buffer   []byte
	from, to int
}

func newFrameReader(source io.Reader) *frameReader {
	return &frameReader{source: source, buffer: make([]byte, bufferSize)}
}

// next reads the header of the next frame. The error is io.EOF when the stream
// ends between two frames.
func (r *frameReader) next() (header, error) {
	if err := r.fill(headerSize); err != nil {
		return header{}, err
	}
	return parseHeader(r.buffer[r.from:]), nil
}

// whole returns the frame, header included. It is valid until the next call.
// Only for frames of at most maxData.
func (r *frameReader) whole(h header) ([]byte, error) {
	if h.length > maxData {
		return nil, fmt.Errorf("frame of %d bytes is above ttrpc's limit of %d", h.length, maxData)
	}
	size := int(h.size())
	if size <= len(r.buffer) {
		if err := r.fill(size); err != nil {
			return nil, noFrameEnd(err)
		}
		frame := r.buffer[r.from : r.from+size]
		r.from += size
		return frame, nil
	}
	// Grows with what really arrives: a header alone must not cost 4 MiB.
	frame := make([]byte, 0, 2*len(r.buffer))
	err := r.chunks(h.size(), func(chunk []byte) error {
		frame = append(frame, chunk...)
		return nil
	})
	return frame, err
}

// pass writes the frame as it is, whatever its size.
func (r *frameReader) pass(h header, to io.Writer) error {
	if h.size() > int64(len(r.buffer)) {
		return r.chunks(h.size(), func(chunk []byte) error {
			_, err := to.Write(chunk)
			return err
		})
	}
	frame, err := r.whole(h)
	if err != nil {
		return err
	}
	_, err = to.Write(frame)
	return err
}

// discard reads over the frame.
func (r *frameReader) discard(h header) error {
	return r.chunks(h.size(), func([]byte) error { return nil })
}

// chunks hands over the next size bytes in pieces.
func (r *frameReader) chunks(size int64, do func([]byte) error) error {
	for size > 0 {
		if err := r.fill(1); err != nil {
			return noFrameEnd(err)
		}
		n := min(int64(r.to-r.from), size)
		chunk := r.buffer[r.from : r.from+int(n)]
		r.from += int(n)
		size -= n
		if err := do(chunk); err != nil {
			return err
		}
	}
	return nil
}

// fill reads until n bytes are in the buffer; n is at most its size.
func (r *frameReader) fill(n int) error {
	if r.to-r.from >= n {
		return nil
	}
	if r.from > 0 {
		r.to = copy(r.buffer, r.buffer[r.from:r.to])
		r.from = 0
	}
	had := r.to
	read, err := io.ReadAtLeast(r.source, r.buffer[r.to:], n-r.to)
	r.to += read
	if errors.Is(err, io.EOF) && had > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// noFrameEnd turns an end of the stream within a frame into the error for it.
func noFrameEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
