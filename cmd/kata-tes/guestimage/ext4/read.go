// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/program"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"golang.org/x/sys/unix"
)

// plainPath is what debugfs takes as it is. Paths that we look for are such; a
// link in the image may lead to any.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/_.@:+\-]*$`)

// maxTarget is the longest target of a link, in bytes.
const maxTarget = 4095

// Lstat implements tree.Tree.
func (f *FS) Lstat(ctx context.Context, path string) (tree.Entry, error) {
	entry, err := f.stat(ctx, path)
	if err != nil || !entry.IsLink() || entry.Target != "" {
		return entry, err
	}
	// A long one is in a block of its own.
	target, err := f.Read(ctx, path, maxTarget)
	entry.Target = string(target)
	return entry, err
}

// seen is what a look at a path gave.
type seen struct {
	entry tree.Entry
	err   error
}

func (f *FS) stat(ctx context.Context, path string) (tree.Entry, error) {
	if s, found := f.known[path]; found {
		return s.entry, s.err
	}
	entry, err := f.look(ctx, path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		f.known[path] = seen{entry, err}
	}
	return entry, err
}

func (f *FS) look(ctx context.Context, path string) (tree.Entry, error) {
	if !plainPath.MatchString(path) {
		return tree.Entry{}, fmt.Errorf("%.200q in the image: a path with such characters can't be looked at", path)
	}
	out, err := f.debugfs(ctx, "-R", "stat "+path)
	if err != nil {
		return tree.Entry{}, fmt.Errorf("%s in the image: %w", path, err)
	}
	entry, err := parseStat(out)
	if err != nil {
		return tree.Entry{}, fmt.Errorf("%s in the image: %w", path, err)
	}
	return entry, nil
}

// Read implements tree.Tree. It also reads the target of a long link.
func (f *FS) Read(ctx context.Context, path string, limit int64) (_ []byte, err error) {
	entry, err := f.stat(ctx, path)
	if err != nil {
		return nil, err
	}
	if entry.Size > limit {
		return nil, fmt.Errorf("%s in the image has %d bytes, more than the %d that are expected", path, entry.Size, limit)
	}
	const dumped = "dumped"
	copied := filepath.Join(f.folder, dumped)
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	if _, err := f.debugfs(ctx, "-R", "dump "+path+" "+dumped); err != nil {
		return nil, fmt.Errorf("%s in the image: %w", path, err)
	}
	content, err := os.ReadFile(copied) //nolint:gosec // in our own folder
	if err == nil && int64(len(content)) != entry.Size {
		err = fmt.Errorf("%s in the image: %d of %d bytes could be read", path, len(content), entry.Size)
	}
	return content, err
}

// types by debugfs' words.
var types = map[string]uint32{
	"regular": unix.S_IFREG, "directory": unix.S_IFDIR, "symlink": unix.S_IFLNK, "character special": unix.S_IFCHR,
	"block special": unix.S_IFBLK, "FIFO": unix.S_IFIFO, "socket": unix.S_IFSOCK,
}

var (
	statType   = regexp.MustCompile(`(?m)^Inode: \d+ +Type: ([A-Za-z ]+?) +Mode: +0*([0-7]+) `)
	statOwner  = regexp.MustCompile(`(?m)^User: +(\d+) +Group: +(\d+) .*Size: (\d+)$`)
	statLinks  = regexp.MustCompile(`(?m)^Links: (\d+) `)
	statTarget = regexp.MustCompile(`(?s)\nFast link dest: "(.*)"\n*$`)
)

// parseStat reads what debugfs' stat prints.
func parseStat(out string) (tree.Entry, error) {
	kind, owner, links := statType.FindStringSubmatch(out), statOwner.FindStringSubmatch(out), statLinks.FindStringSubmatch(out)
	if kind == nil || owner == nil || links == nil {
		return tree.Entry{}, fmt.Errorf("debugfs prints what is not understood: %s", program.Printable(out))
	}
	mode, err := strconv.ParseUint(kind[2], 8, 16)
	uid, err2 := strconv.ParseUint(owner[1], 10, 32)
	gid, err3 := strconv.ParseUint(owner[2], 10, 32)
	size, err4 := strconv.ParseInt(owner[3], 10, 64)
	count, err5 := strconv.ParseUint(links[1], 10, 32)
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		return tree.Entry{}, fmt.Errorf("debugfs prints what is not understood: %w", err)
	}
	e := tree.Entry{
		Mode: types[kind[1]] | uint32(mode), UID: uint32(uid), GID: uint32(gid), Size: size, Links: uint32(count),
	}
	if target := statTarget.FindStringSubmatch(out); target != nil && e.IsLink() {
		e.Target = target[1]
	}
	return e, nil
}
