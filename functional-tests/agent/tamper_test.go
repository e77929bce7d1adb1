// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

const block = 4096

// layout is where a store's blocks are on the host's disk, by the live tables.
type layout struct {
	// begin is where data (or tags) begin, in bytes.
	begin int64
	// interleave and tags are the data and the tags of an area, in bytes; 0
	// without tags.
	interleave, tags int64
}

// layoutOf reads it from the kernel, not from the product.
func layoutOf(t *testing.T, mapping string) layout {
	t.Helper()
	if _, err := os.Stat("/dev/mapper/" + mapping + "_dif"); err != nil {
		return layout{begin: 32768 * 512}
	}
	l := layout{begin: (32768 + 8) * 512}
	for _, field := range strings.Fields(run(t, "dmsetup", "table", mapping+"_dif")) {
		name, value, _ := strings.Cut(field, ":")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "journal_sectors":
			l.begin += n * 512
		case "interleave_sectors":
			l.interleave = n * 512
			l.tags = l.interleave / block * 32
		}
	}
	require.Positive(t, l.tags)
	return l
}

// data is where a block of the mapping is on the disk.
func (l layout) data(at int64) int64 {
	if l.tags == 0 {
		return l.begin + at
	}
	return l.begin + at + (at/l.interleave+1)*l.tags
}

// tag is where its tag is.
func (l layout) tag(at int64) int64 {
	area := at / l.interleave
	return l.begin + area*(l.interleave+l.tags) + at%l.interleave/block*32
}

// hostBlock is a block as the host holds it.
type hostBlock struct{ data, tag []byte }

// hostRead reads a block of the mapping, and its tag, on the host's side.
func (d *loopDisk) hostRead(l layout, at int64) hostBlock {
	b := hostBlock{data: make([]byte, block), tag: make([]byte, 32)}
	f, err := os.Open(d.file)
	require.NoError(d.t, err)
	_, err = f.ReadAt(b.data, l.data(at))
	require.NoError(d.t, err)
	if l.tags > 0 {
		_, err = f.ReadAt(b.tag, l.tag(at))
		require.NoError(d.t, err)
	}
	require.NoError(d.t, f.Close())
	return b
}

// hostWrite puts a block there.
func (d *loopDisk) hostWrite(l layout, at int64, b hostBlock) {
	f, err := os.OpenFile(d.file, os.O_WRONLY, 0)
	require.NoError(d.t, err)
	_, err = f.WriteAt(b.data, l.data(at))
	require.NoError(d.t, err)
	if l.tags > 0 {
		_, err = f.WriteAt(b.tag, l.tag(at))
		require.NoError(d.t, err)
	}
	require.NoError(d.t, f.Close())
}

// blockOf is where the file's first block is on the mapping, in bytes.
func blockOf(t *testing.T, path string) int64 {
	t.Helper()
	listing := run(t, "filefrag", "-b4096", "-v", path)
	for _, line := range strings.Split(listing, "\n") {
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' || r == '.' })
		if len(fields) >= 4 && fields[0] == "0" {
			number, err := strconv.ParseInt(fields[3], 10, 64)
			require.NoError(t, err, line)
			return number * block
		}
	}
	t.Fatalf("no extent in\n%s", listing)
	return 0
}

// write makes the file of one block, on the disk.
func write(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	run(t, "sync")
}

// dropCaches makes the guest read from its disk: file contents, and the tags
// that dm-integrity keeps for a while. Those go in the background.
func dropCaches(t *testing.T) {
	t.Helper()
	run(t, "sync")
	put(t, "/proc/sys/vm/drop_caches", "3")
}

// tagCache is of the cache in which dm-integrity keeps tags.
const tagCache = "/sys/module/dm_bufio/parameters/"

// noTagCache lets that cache keep nothing for long, so that a test need not wait
// until the tags have been pushed out by others.
func noTagCache(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{"retain_bytes": "0", "max_age_seconds": "1"} {
		before, err := os.ReadFile(tagCache + name)
		require.NoError(t, err)
		put(t, tagCache+name, value)
		t.Cleanup(func() { put(t, tagCache+name, strings.TrimSpace(string(before))) })
	}
}

// dropTags waits until dm-integrity's cache is empty.
func dropTags(t *testing.T) {
	t.Helper()
	var left []byte
	require.Eventually(t, func() bool {
		dropCaches(t)
		var err error
		left, err = os.ReadFile(tagCache + "current_allocated_bytes")
		require.NoError(t, err)
		return strings.TrimSpace(string(left)) == "0"
	}, patience, 100*time.Millisecond, "tags stay in the cache")
}

// What a host that changes blocks behind the guest's back achieves. This is the
// difference between the profiles, and its limit: an old block that is put back
// to its own place, with its own tag, is valid in both.
func TestHostChangesBlocks(t *testing.T) {
	for _, c := range []struct {
		profile  profile.Profile
		detected bool
	}{{profile.Confidentiality, false}, {profile.Integrity, true}} {
		t.Run(c.profile.Name, func(t *testing.T) {
			run(t, "modprobe", "dm_bufio")
			noTagCache(t)
			marker := agentproto.NewMarker()
			disk, _ := newAttachedDisk(t, marker, gib)
			g := newGuest(t, withProfile(c.profile))
			_, err := g.prepare(marker)
			require.NoError(t, err)
			l := layoutOf(t, "ephemeral_image_encrypted_disk")
			dir := "/run/image/"
			first, second := bytes.Repeat([]byte("first "), block)[:block], bytes.Repeat([]byte("second "), block)[:block]
			write(t, dir+"flipped", first)
			write(t, dir+"moved", first)
			write(t, dir+"source", second)
			write(t, dir+"replayed", first)

			// The layout is right, or the rest proves nothing: the host sees a
			// write where it is expected.
			at := blockOf(t, dir+"replayed")
			old := disk.hostRead(l, at)
			write(t, dir+"replayed", second)
			require.Equal(t, at, blockOf(t, dir+"replayed"), "written in place")
			fresh := disk.hostRead(l, at)
			require.NotEqual(t, old.data, fresh.data)
			if c.detected {
				require.NotEqual(t, old.tag, fresh.tag)
			}

			unchanged := func(path string, want []byte) {
				dropCaches(t)
				got, err := os.ReadFile(path)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got), path)
			}
			unchanged(dir+"flipped", first)

			t.Run("one bit flipped", func(t *testing.T) {
				b := disk.hostRead(l, blockOf(t, dir+"flipped"))
				b.data[100] ^= 1
				disk.hostWrite(l, blockOf(t, dir+"flipped"), b)
				requireChanged(t, dir+"flipped", first, c.detected)
			})
			t.Run("a block moved with its tag", func(t *testing.T) {
				disk.hostWrite(l, blockOf(t, dir+"moved"), disk.hostRead(l, blockOf(t, dir+"source")))
				requireChanged(t, dir+"moved", first, c.detected)
			})
			t.Run("an old block put back with its tag is not detected", func(t *testing.T) {
				errorsBefore := integrityErrors(t)
				// While the guest has the tag in its cache it notices by luck, or
				// writes it once more with others beside it.
				dropTags(t)
				disk.hostWrite(l, at, old)
				dropCaches(t)
				require.Equal(t, old, disk.hostRead(l, at), "nobody has written the block again")
				got, err := os.ReadFile(dir + "replayed")
				require.NoError(t, err)
				require.True(t, bytes.Equal(first, got), "the reader got something else than the old content")
				require.Equal(t, errorsBefore, integrityErrors(t))
			})
			unchanged(dir+"source", second)
		})
	}
}

// requireChanged reads what the host has changed: an I/O error and a line in the
// kernel's log where it is detected, else something else without a word.
func requireChanged(t *testing.T, path string, was []byte, detected bool) {
	t.Helper()
	before := integrityErrors(t)
	dropCaches(t)
	got, err := os.ReadFile(path)
	if detected {
		require.ErrorIs(t, err, syscall.EIO)
		require.Greater(t, integrityErrors(t), before)
		return
	}
	require.NoError(t, err)
	require.False(t, bytes.Equal(was, got), "the reader got the old content")
	require.Len(t, got, len(was))
	require.Equal(t, before, integrityErrors(t))
}
