// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

// No block is read before it was written: rounds of filling the store, deleting
// every second thing, and then reading all that is there past the caches. A
// sector that was never written has no valid tag, so that a single such read
// would be in the kernel's log.
func TestIntegrityUnderStress(t *testing.T) {
	rounds, size := 1, int64(profile.Integrity.Least)
	if everything() {
		rounds, size = 6, gib
	}
	before := integrityErrors(t)
	marker := agentproto.NewMarker()
	disk, _ := newAttachedDisk(t, marker, size)
	g := newGuest(t, withProfile(profile.Integrity))
	_, err := g.prepare(marker)
	require.NoError(t, err)
	w := &walker{t: t, root: "/run/image", random: rand.New(rand.NewPCG(5, 2026)), sums: map[string][32]byte{}} // the same each time
	for range rounds {
		w.fill()
		if everything() {
			w.readAll()
		}
		w.deleteHalf()
		w.readAll()
	}
	t.Logf("summary: %d of 6 rounds (TES_ALL=1 runs all, on a larger disk, and reads twice as often): %d files written, %d MiB written, %d MiB read back",
		rounds, w.files, w.written>>20, w.read>>20)
	require.Equal(t, before, integrityErrors(t), "a block was read before it was written:\n%s", run(t, "dmesg"))

	// What the log would have said: the same read of a block that the host has
	// changed.
	path := w.root + "/control"
	content := make([]byte, block)
	write(t, path, content)
	l, at := layoutOf(t, "ephemeral_image_encrypted_disk"), blockOf(t, path)
	b := disk.hostRead(l, at)
	b.data[0] ^= 0x80
	disk.hostWrite(l, at, b)
	requireChanged(t, path, content, true)
}

// walker fills a folder and knows what must be in it.
type walker struct {
	t      *testing.T
	root   string
	random *rand.Rand
	sums   map[string][32]byte
	files  int
	// written and read are bytes.
	written, read int64
}

// fill writes until the disk is full: mostly small files as in images, some
// large ones, some that are written in pieces, with holes, or cut.
func (w *walker) fill() {
	for number := 0; ; number++ {
		dir := filepath.Join(w.root, fmt.Sprintf("d%d", w.random.IntN(64)), fmt.Sprintf("e%d", w.random.IntN(16)))
		path := filepath.Join(dir, fmt.Sprintf("f%d-%d", w.files, number))
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = w.make(path)
		}
		if errors.Is(err, syscall.ENOSPC) {
			if err := os.Remove(path); err != nil {
				require.ErrorIs(w.t, err, os.ErrNotExist)
			}
			return
		}
		require.NoError(w.t, err)
		w.files++
	}
}

func (w *walker) make(path string) (err error) {
	size := w.random.IntN(20 << 10)
	switch w.random.IntN(16) {
	case 0:
		size = w.random.IntN(8 << 20)
	case 1:
		return os.Symlink("../somewhere/else/"+filepath.Base(path), path)
	}
	content := make([]byte, size)
	for i := 0; i < len(content); i += 64 {
		content[i] = byte(w.random.Uint32())
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// In pieces that don't end at blocks; some of zeros are left out.
	for offset := 0; offset < size; {
		piece := min(1+w.random.IntN(1<<20), size-offset)
		if w.random.IntN(8) == 0 {
			clear(content[offset : offset+piece])
		} else if _, err := f.WriteAt(content[offset:offset+piece], int64(offset)); err != nil {
			return err
		}
		w.written += int64(piece)
		offset += piece
	}
	if w.random.IntN(8) == 0 {
		content = content[:size/2]
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		return err
	}
	if w.random.IntN(32) == 0 {
		if err := syscall.Setxattr(path, "user.test", make([]byte, 3000), 0); err != nil {
			return err
		}
	}
	// Delayed allocation finds out at the end that the disk is full.
	if err := f.Sync(); err != nil {
		return err
	}
	w.sums[path] = sha256.Sum256(content)
	return nil
}

// deleteHalf also renames and links, so that directories are rewritten.
func (w *walker) deleteHalf() {
	for _, path := range slices.Sorted(maps.Keys(w.sums)) {
		switch w.random.IntN(8) {
		case 0, 1, 2, 3:
			require.NoError(w.t, os.Remove(path))
			delete(w.sums, path)
		case 4:
			moved := path + "-with-a-much-longer-name-than-it-had-before"
			require.NoError(w.t, os.Rename(path, moved))
			w.sums[moved] = w.sums[path]
			delete(w.sums, path)
		}
	}
}

// readAll drops the caches and reads everything, names, attributes, contents.
func (w *walker) readAll() {
	dropCaches(w.t)
	seen := 0
	require.NoError(w.t, filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w.read += int64(len(content))
		want, known := w.sums[path]
		require.True(w.t, known, path)
		require.Equal(w.t, want, sha256.Sum256(content), path)
		seen++
		return nil
	}))
	require.Len(w.t, w.sums, seen)
}
