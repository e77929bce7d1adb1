// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// versions makes what the kernel answers to DM_LIST_VERSIONS.
func versions(names ...string) []byte {
	answer := make([]byte, unix.SizeofDmIoctl)
	binary.NativeEndian.PutUint32(answer[16:], unix.SizeofDmIoctl)
	for i, name := range names {
		entry := make([]byte, (16+len(name)+1+7)/8*8)
		copy(entry[16:], name)
		if i+1 < len(names) {
			binary.NativeEndian.PutUint32(entry, uint32(len(entry)))
		}
		answer = append(answer, entry...)
	}
	return answer
}

func TestParseVersions(t *testing.T) {
	names, err := parseVersions(versions("crypt", "integrity", "linear"))
	require.NoError(t, err)
	require.Equal(t, []string{"crypt", "integrity", "linear"}, names)

	looping := versions("crypt", "integrity")
	binary.NativeEndian.PutUint32(looping[unix.SizeofDmIoctl:], 1)
	full := versions("crypt")
	binary.NativeEndian.PutUint32(full[28:], unix.DM_BUFFER_FULL_FLAG)
	for name, answer := range map[string][]byte{
		"empty": nil, "without list": versions(), "loop": looping, "full": full,
		"cut": versions("crypt", "integrity")[:unix.SizeofDmIoctl+30],
	} {
		_, err := parseVersions(answer)
		require.Error(t, err, name)
	}
}

// A module that is being loaded makes one answer too long, not the next.
func TestListTargetsAgain(t *testing.T) {
	full := versions("crypt")
	binary.NativeEndian.PutUint32(full[28:], unix.DM_BUFFER_FULL_FLAG)
	asked := 0
	names, err := listTargets(func() ([]byte, error) {
		if asked++; asked < 3 {
			return full, nil
		}
		return versions("crypt", "integrity"), nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"crypt", "integrity"}, names)

	asked = 0
	_, err = listTargets(func() ([]byte, error) { asked++; return full, nil })
	require.ErrorIs(t, err, errTooLong)
	require.Equal(t, listTries, asked)
	names, err = listTargets(func() ([]byte, error) { return nil, ErrNoMapping })
	require.NoError(t, err)
	require.Empty(t, names)
}

func FuzzParseVersions(f *testing.F) {
	f.Add(versions("crypt", "integrity"))
	f.Fuzz(func(_ *testing.T, answer []byte) {
		_, _ = parseVersions(answer) // ends, and does not panic
	})
}
