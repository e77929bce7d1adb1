// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// someKey has the form of a 512-bit key.
var someKey = strings.Repeat("0123456789abcdef", 8)

// answer makes what the kernel answers to DM_TABLE_STATUS.
func answer(t *liveTable) []byte {
	buffer := make([]byte, tableBytes)
	head := (*unix.DmIoctl)(unsafe.Pointer(&buffer[0]))
	head.Data_size = tableBytes
	head.Data_start = unix.SizeofDmIoctl
	head.Target_count = uint32(len(t.targets))
	head.Open_count = t.users
	head.Flags = t.flags
	head.Dev = t.device
	copy(head.Name[:], t.name)
	copy(head.Uuid[:], t.uuid)
	data, offset := buffer[unix.SizeofDmIoctl:], 0
	for _, target := range t.targets {
		spec := (*unix.DmTargetSpec)(unsafe.Pointer(&data[offset]))
		spec.Sector_start, spec.Length = target.start, target.length
		copy(spec.Target_type[:], target.kind)
		copy(data[offset+unix.SizeofDmTargetSpec:], target.parameters)
		offset += (unix.SizeofDmTargetSpec + len(target.parameters) + 1 + 7) / 8 * 8
		spec.Next = uint32(offset)
	}
	return buffer
}

func someTable() *liveTable {
	return &liveTable{
		name: "ephemeral_image_encrypted_disk", uuid: "CRYPT-LUKS2-0123456789abcdef-ephemeral_image_encrypted_disk",
		device: 253 << 8, users: 1,
		targets: []liveTarget{{
			length: 2064384, kind: "crypt",
			parameters: []byte("aes-xts-plain64 " + someKey + " 0 8:0 32768 1 sector_size:4096"),
		}},
	}
}

func TestParseTable(t *testing.T) {
	want := someTable()
	got, err := parseTable(answer(want))
	require.NoError(t, err)
	require.Equal(t, want, got)

	want.targets = append(want.targets, liveTarget{start: 2064384, length: 8, kind: "linear", parameters: []byte("8:1 0")})
	got, err = parseTable(answer(want))
	require.NoError(t, err)
	require.Equal(t, want, got)

	got.wipe()
	require.NotContains(t, string(got.targets[0].parameters), "abcdef")
}

func TestParseTableRefuses(t *testing.T) {
	change := func(offset int, value uint32) []byte {
		buffer := answer(someTable())
		binary.NativeEndian.PutUint32(buffer[offset:], value)
		return buffer
	}
	for name, buffer := range map[string][]byte{
		"empty":             nil,
		"cut in the head":   answer(someTable())[:100],
		"cut in the target": answer(someTable())[:unix.SizeofDmIoctl+10],
		"no end":            bytes.ReplaceAll(answer(someTable())[:unix.SizeofDmIoctl+60], []byte{0}, []byte{'x'}),
		"starts outside":    change(16, tableBytes+1),
		"too many targets":  change(20, maxTargets+1),
		"buffer full":       change(28, unix.DM_BUFFER_FULL_FLAG),
	} {
		_, err := parseTable(buffer)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), someKey[:16], name)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(answer(someTable()))
	f.Add([]byte{})
	volume := someVolume()
	f.Fuzz(func(t *testing.T, buffer []byte) {
		table, err := parseTable(buffer)
		if err != nil {
			return
		}
		if err := volume.compare(table); err == nil {
			// Only the one table is accepted, whatever its key.
			require.Len(t, table.targets, 1)
			require.Equal(t, uint64(2064384), table.targets[0].length)
			require.True(t, bytes.HasPrefix(table.targets[0].parameters, []byte("aes-xts-plain64 ")))
		}
		table.wipe()
	})
}
