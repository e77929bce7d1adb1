// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"bytes"
	"strings"

	"github.com/stretchr/testify/require"
)

// tamperTests show what the profile `confidentiality` does not claim to notice.
var tamperTests = tests{
	"tamper/flip": func(a *attempt) {
		d, _ := a.ready()
		at, block := a.writeAndFind(d, "first")
		block[100] ^= 1
		d.write(at, block)
		read := a.readAgain()
		require.NotContains(a, read, "input/output error")
		require.NotEqual(a, a.sum("first"), read, "the guest did not see the changed block, so this shows nothing")
	},
	"tamper/replay": func(a *attempt) {
		d, _ := a.ready()
		at, old := a.writeAndFind(d, "first")
		a.sh(write("second"))
		require.Equal(a, a.sum("second"), a.readAgain())
		require.False(a, bytes.Equal(old, d.read(at, int64(len(old)))), "not the place of the file")
		d.write(at, old)
		require.Equal(a, a.sum("first"), a.readAgain(), "the older file, whole")
	},
}

const fileSize = 1 * mib

// write fills one and the same file in the store with a word, in place.
func write(word string) string {
	return "yes " + word + " | head -c 1048576 | dd of=/run/image/target bs=64k conv=notrunc 2>/dev/null && sync"
}

// writeAndFind writes the file, and finds its blocks as a host does: by what has
// changed on the disk.
func (a *attempt) writeAndFind(d *disk, word string) (at int64, content []byte) {
	a.sh("sync")
	before := d.read(dataAt, size-dataAt)
	a.sh(write(word))
	after := d.read(dataAt, size-dataAt)
	const block = 4096
	longest, length := 0, 0
	for i := 0; i+block <= len(after); i += block {
		if bytes.Equal(before[i:i+block], after[i:i+block]) {
			length = 0
			continue
		}
		if length += block; length >= fileSize && longest == 0 {
			longest = i + block - length
		}
	}
	require.NotZero(a, longest, "no run of changed blocks as long as the file")
	require.Equal(a, a.sum(word), a.readAgain())
	return dataAt + int64(longest), after[longest : longest+fileSize]
}

// readAgain is the checksum of what the guest reads from the disk.
func (a *attempt) readAgain() string {
	return strings.TrimSpace(a.sh("echo 3 >/proc/sys/vm/drop_caches; md5sum </run/image/target"))
}

// sum is the checksum of the file with that word.
func (a *attempt) sum(word string) string {
	return strings.TrimSpace(a.sh("yes " + word + " | head -c 1048576 | md5sum"))
}
