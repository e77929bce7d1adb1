// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package ext4 reads and changes an ext4 file system in a file, without
// mounting it, by e2fsprogs (debugfs, e2fsck, resize2fs): they are ext4's own,
// on nearly every Linux machine, and know every feature that a file system may
// have. (Go libraries that write ext4 don't: no htree folders, no checksums.)
//
// The same change to the same file system gives the same bytes: all times are
// those of the file system's last write.
package ext4

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/program"
)

// FS is a file system in a file of its own, in a folder in which nobody else
// works.
type FS struct {
	folder, name string
	super        superblock
	// known is what was seen of paths since the last change: each look is a
	// program's run.
	known map[string]seen
}

// Open reads the superblock. The error is ErrNotExt4 where there is none.
func Open(path string) (*FS, error) {
	f := &FS{folder: filepath.Dir(path), name: filepath.Base(path)}
	return f, f.reload()
}

// Blocks and FreeBlocks count blocks of BlockSize bytes.
func (f *FS) Blocks() uint64 { return f.super.blocks }

// FreeBlocks is how many are free, those kept for root included.
func (f *FS) FreeBlocks() uint64 { return f.super.freeBlocks }

// FreeInodes is how many files can be added.
func (f *FS) FreeInodes() uint32 { return f.super.freeInodes }

// BlockSize in bytes.
func (f *FS) BlockSize() int64 { return f.super.blockSize }

// UUID of the file system.
func (f *FS) UUID() [16]byte { return f.super.uuid }

// Written is when it was last written, and the time of each change of ours.
func (f *FS) Written() time.Time { return f.super.written }

// Check is e2fsck, which changes nothing here: any inconsistency is an error.
func (f *FS) Check(ctx context.Context) error {
	r, err := program.Run(ctx, f.folder, nil, "e2fsck", "-f", "-n", f.name)
	if err == nil && r.Status != 0 {
		err = fmt.Errorf("the ext4 file system is damaged: e2fsck says: %s", program.Printable(r.Out+r.Err))
	}
	return err
}

// Resize makes the file system as large as its file.
func (f *FS) Resize(ctx context.Context) error {
	// -f: it was checked already, by Check, which does not note that in the file
	// system as resize2fs wants it.
	r, err := program.Run(ctx, f.folder, []string{f.fakeTime()}, "resize2fs", "-f", f.name)
	if err == nil && r.Status != 0 {
		err = fmt.Errorf("enlarging the ext4 file system: resize2fs says: %s", program.Printable(r.Out+r.Err))
	}
	if err != nil {
		return err
	}
	return f.reload()
}

// fakeTime is the time for those of e2fsprogs that take it from the environment.
func (f *FS) fakeTime() string { return fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", f.super.written.Unix()) }

func (f *FS) reload() error {
	file, err := os.Open(filepath.Join(f.folder, f.name))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	f.known = map[string]seen{}
	block := make([]byte, superblockSize)
	if _, err := file.ReadAt(block, superblockOffset); err != nil {
		return ErrNotExt4
	}
	f.super, err = parseSuperblock(block)
	return err
}

// debugfs runs one command, or with -w the commands of a file. It tells of
// errors by what it prints, not by its exit status. What is not there is
// fs.ErrNotExist.
func (f *FS) debugfs(ctx context.Context, args ...string) (out string, err error) {
	r, err := program.Run(ctx, f.folder, nil, "debugfs", append(args, f.name)...)
	if err != nil {
		return "", err
	}
	var complaints []string
	for line := range strings.Lines(r.Err) {
		line = strings.TrimSpace(line)
		// Its name and version, always.
		if line != "" && !strings.HasPrefix(line, "debugfs 1.") {
			complaints = append(complaints, line)
		}
	}
	switch {
	case r.Status != 0:
		return "", fmt.Errorf("debugfs ended with status %d: %s", r.Status, program.Printable(r.Err))
	case len(complaints) == 1 && strings.HasSuffix(complaints[0], ": File not found by ext2_lookup"):
		return "", fs.ErrNotExist
	case len(complaints) > 0:
		return "", fmt.Errorf("debugfs says: %s", program.Printable(strings.Join(complaints, "; ")))
	}
	return r.Out, nil
}
