// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func frameOf(kind uint8, stream uint32, data []byte) []byte {
	h := header{length: uint32(len(data)), stream: stream, kind: kind, flags: 5}
	return append(h.append(nil), data...)
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func TestFramesOfEverySizeComeThroughUnchanged(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 300, bufferSize - headerSize - 1, bufferSize - headerSize, bufferSize - headerSize + 1, 3 * bufferSize, 0, maxData, maxData + 1, 7}
	for i, size := range sizes {
		stream = append(stream, frameOf(uint8(i%5), uint32(2*i+1), random(size))...)
	}
	sources := map[string]func(io.Reader) io.Reader{
		"at once":    func(r io.Reader) io.Reader { return r },
		"one by one": iotest.OneByteReader,
		"halves":     iotest.HalfReader,
		"data+EOF":   iotest.DataErrReader,
	}
	for name, wrap := range sources {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			frames := newFrameReader(wrap(bytes.NewReader(stream)))
			for i, size := range sizes {
				h, err := frames.next()
				require.NoError(t, err)
				require.Equal(t, header{length: uint32(size), stream: uint32(2*i + 1), kind: uint8(i % 5), flags: 5}, h)
				if i%2 == 0 && size <= maxData {
					frame, err := frames.whole(h)
					require.NoError(t, err)
					out.Write(frame)
				} else {
					require.NoError(t, frames.pass(h, &out))
				}
			}
			_, err := frames.next()
			require.ErrorIs(t, err, io.EOF)
			require.True(t, bytes.Equal(stream, out.Bytes()))
		})
	}
}

func TestDiscardLeavesTheNextFrame(t *testing.T) {
	stream := append(frameOf(1, 1, random(maxData+5)), frameOf(2, 3, []byte("next"))...)
	frames := newFrameReader(bytes.NewReader(stream))
	h, err := frames.next()
	require.NoError(t, err)
	_, err = frames.whole(h)
	require.ErrorContains(t, err, "limit", "never kept in memory")
	require.NoError(t, frames.discard(h))
	h, err = frames.next()
	require.NoError(t, err)
	frame, err := frames.whole(h)
	require.NoError(t, err)
	require.Equal(t, "next", string(frame[headerSize:]))
}

func TestEndWithinAFrame(t *testing.T) {
	for _, size := range []int{5, 3 * bufferSize} {
		whole := frameOf(1, 1, random(size))
		for _, cut := range []int{1, headerSize - 1, headerSize, headerSize + 1, len(whole) - 1} {
			frames := newFrameReader(bytes.NewReader(whole[:cut]))
			h, err := frames.next()
			if err == nil {
				err = frames.pass(h, io.Discard)
			}
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d of %d bytes", cut, len(whole))
		}
	}
}

// A header may promise what never comes: memory grows with what does.
func TestPromisedDataCostsNothing(t *testing.T) {
	promise := header{length: maxData, stream: 1, kind: typeRequest}.append(nil)
	bytesUsed := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			frames := newFrameReader(bytes.NewReader(promise))
			h, err := frames.next()
			if err == nil {
				_, err = frames.whole(h)
			}
			if err == nil {
				b.Fatal("a frame out of nothing")
			}
		}
	}).AllocedBytesPerOp()
	require.Less(t, bytesUsed, int64(5*bufferSize))
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add(frameOf(1, 1, []byte("abc")), 3)
	f.Add(append(frameOf(1, 1, random(10)), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0, 1), 2)
	f.Fuzz(func(t *testing.T, stream []byte, how int) {
		var out bytes.Buffer
		frames := newFrameReader(iotest.HalfReader(bytes.NewReader(stream)))
		for {
			h, err := frames.next()
			if err != nil {
				break
			}
			if how%2 == 0 && h.length <= maxData {
				frame, err := frames.whole(h)
				if err != nil {
					break
				}
				_, _ = parseRequest(frame[headerSize:])
				out.Write(frame)
			} else if err := frames.pass(h, &out); err != nil {
				break
			}
			how /= 2
		}
		if !bytes.HasPrefix(stream, out.Bytes()) {
			t.Fatalf("forwarded %x of %x", out.Bytes(), stream)
		}
	})
}
