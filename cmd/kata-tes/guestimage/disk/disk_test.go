// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const mib = 1 << 20

// table is an MBR with partitions of which start and size are in sectors.
func table(partitions ...[2]uint32) []byte {
	b := make([]byte, Sector)
	for i, p := range partitions {
		e := b[tableOffset+i*entrySize:]
		e[entryKind] = 0x83
		binary.LittleEndian.PutUint32(e[entryStart:], p[0])
		binary.LittleEndian.PutUint32(e[entrySectors:], p[1])
	}
	binary.LittleEndian.PutUint16(b[signatureAt:], signature)
	return b
}

func image(size int, parts map[int][]byte) []byte {
	b := make([]byte, size)
	for at, part := range parts {
		copy(b[at:], part)
	}
	return b
}

func daxHeader(data uint64) []byte {
	b := make([]byte, daxSize)
	copy(b, daxSignature)
	binary.LittleEndian.PutUint64(b[daxDataAt:], data)
	return b
}

func gpt(partitions ...[2]uint64) map[int][]byte {
	entries := make([]byte, 128*128)
	for i, p := range partitions {
		e := entries[i*128:]
		e[0] = 1
		binary.LittleEndian.PutUint64(e[32:], p[0])
		binary.LittleEndian.PutUint64(e[40:], p[1])
	}
	header := make([]byte, Sector)
	copy(header, gptSignature)
	le := binary.LittleEndian
	le.PutUint32(header[12:], gptHeader)
	le.PutUint64(header[gptTableLBA:], 2)
	le.PutUint32(header[gptCount:], 128)
	le.PutUint32(header[gptEntrySize:], 128)
	le.PutUint32(header[gptTableCRC:], crc32.ChecksumIEEE(entries))
	le.PutUint32(header[gptHeaderCRC:], crc32.ChecksumIEEE(header[:gptHeader]))
	protectiveTable := table([2]uint32{1, 1})
	protectiveTable[tableOffset+entryKind] = protective
	return map[int][]byte{0: protectiveTable, Sector: header, 2 * Sector: entries}
}

func TestParse(t *testing.T) {
	hash := &Extent{5 * mib, mib}
	for name, c := range map[string]struct {
		image []byte
		want  Layout
	}{
		"one":      {image(8*mib, map[int][]byte{0: table([2]uint32{2048, 8192})}), Layout{Size: 8 * mib, Root: Extent{mib, 4 * mib}}},
		"measured": {image(8*mib, map[int][]byte{0: table([2]uint32{2048, 8192}, [2]uint32{10240, 2048})}), Layout{Size: 8 * mib, Root: Extent{mib, 4 * mib}, Hash: hash}},
		"DAX": {
			image(8*mib, map[int][]byte{0: table([2]uint32{6144, 4096}), 4096: daxHeader(2 * mib), 2 * mib: table([2]uint32{2048, 4096})}),
			Layout{Size: 8 * mib, Root: Extent{3 * mib, 2 * mib}, DAX: 2 * mib},
		},
		"GPT": {image(8*mib, gpt([2]uint64{2048, 10239}, [2]uint64{10240, 12287})), Layout{Size: 8 * mib, Root: Extent{mib, 4 * mib}, Hash: hash, GPT: true}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse(bytes.NewReader(c.image), int64(len(c.image)))
			require.NoError(t, err)
			require.Equal(t, c.want, l)
		})
	}
}

// After growing, what is written is what is read, and nothing but the entries
// has changed.
func TestGrowAndWrite(t *testing.T) {
	for name, content := range map[string][]byte{
		"one":      image(8*mib, map[int][]byte{0: table([2]uint32{2048, 8192})}),
		"measured": image(8*mib, map[int][]byte{0: table([2]uint32{2048, 8192}, [2]uint32{10240, 2048})}),
		"DAX": image(8*mib, map[int][]byte{
			0: table([2]uint32{6144, 4096}), 4096: daxHeader(2 * mib), 2 * mib: table([2]uint32{2048, 4096}),
		}),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse(bytes.NewReader(content), int64(len(content)))
			require.NoError(t, err)
			asked := int64(0)
			grown, err := l.Grow(3*mib+1, func(root int64) int64 { asked = root; return 2*mib - 5 })
			require.NoError(t, err)
			require.Equal(t, l.Root.Start, grown.Root.Start)
			require.GreaterOrEqual(t, grown.Root.Size, l.Root.Size+3*mib+1)
			if l.Hash != nil {
				require.Equal(t, grown.Root.Size, asked)
				require.Equal(t, Extent{grown.Root.End(), 2 * mib}, *grown.Hash)
			}
			if l.DAX > 0 {
				require.Zero(t, grown.Size%nvdimmAlignment)
			}
			path := filepath.Join(t.TempDir(), "image")
			require.NoError(t, os.WriteFile(path, content, 0o600))
			require.NoError(t, os.Truncate(path, grown.Size))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			defer func() { require.NoError(t, f.Close()) }()
			require.NoError(t, grown.Write(f))
			again, err := Parse(f, grown.Size)
			require.NoError(t, err)
			require.Equal(t, grown, again)
		})
	}
}

func TestGrowRefused(t *testing.T) {
	_, err := Layout{Size: 8 * mib, Root: Extent{mib, mib}, GPT: true}.Grow(1, nil)
	require.ErrorContains(t, err, "ROOT_FREE_SPACE")
	_, err = Layout{Size: 8 * mib, Root: Extent{mib, mib}}.Grow(maxSize, nil)
	require.ErrorContains(t, err, "more than a guest image can have")
}

// Whatever the tables say, the partitions lie within the image and apart.
func FuzzParse(f *testing.F) {
	f.Add(table([2]uint32{1, 2}), []byte{}, uint64(0), uint16(64))
	f.Add(table([2]uint32{17, 2}, [2]uint32{20, 2}), table([2]uint32{1, 2}, [2]uint32{4, 2}), uint64(8192), uint16(64))
	f.Add(table([2]uint32{1, 2}, [2]uint32{2, 4}), []byte{}, uint64(1<<63), uint16(20))
	g := gpt([2]uint64{40, 50})
	f.Add(g[0], append(append([]byte{}, g[Sector]...), g[2*Sector]...), uint64(0), uint16(80))
	f.Fuzz(func(t *testing.T, first, second []byte, data uint64, sectors uint16) {
		b := make([]byte, int(sectors)*Sector)
		copy(b, first[:min(len(first), Sector)])
		if data == 0 {
			copy(b[min(len(b), Sector):], second)
		} else {
			copy(b[min(len(b), daxOffset):], daxHeader(data))
			if data < uint64(len(b)) {
				copy(b[data:], second)
			}
		}
		l, err := Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		require.Positive(t, l.Root.Size)
		require.GreaterOrEqual(t, l.Root.Start, int64(Sector))
		require.LessOrEqual(t, l.Root.End(), l.Size)
		require.GreaterOrEqual(t, l.Root.Start, l.DAX)
		if l.Hash != nil {
			require.Positive(t, l.Hash.Size)
			require.GreaterOrEqual(t, l.Hash.Start, l.Root.End())
			require.LessOrEqual(t, l.Hash.End(), l.Size)
		}
	})
}
