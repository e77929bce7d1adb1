// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package initrd reads an initrd and appends files to it. What is there is left
// as it is, byte for byte: the kernel unpacks archive after archive, and a later
// file replaces an earlier one.
package initrd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"golang.org/x/sys/unix"
)

// Archive is the file tree that the kernel makes of an initrd.
type Archive struct {
	folder   string
	files    []*os.File
	room     int64
	count    int
	segments []segment
	nodes    map[string]node
	// contents has where a file with several names is, which one of them says.
	contents map[linkKey]node
}

type node struct {
	tree.Entry
	in io.ReaderAt
	at int64
	// link is set where the file has several names.
	link *linkKey
}

type linkKey struct {
	in           io.ReaderAt
	major, minor uint32
	ino          uint32
}

// Open reads the initrd's first size bytes. folder is for temporary files, which
// Close removes.
func Open(ctx context.Context, initrd io.ReaderAt, size int64, folder string) (_ *Archive, err error) {
	a := &Archive{
		folder: folder, room: maxContent, nodes: map[string]node{"/": {Entry: tree.Entry{Mode: unix.S_IFDIR | 0o755}}},
		contents: map[linkKey]node{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	for at := int64(0); ; {
		if at, err = skipZeros(initrd, at, size); err != nil {
			return nil, err
		}
		if at == size {
			break
		}
		s, err := a.load(ctx, initrd, at, size)
		if err != nil {
			return nil, err
		}
		a.segments = append(a.segments, s)
		at = s.end
	}
	if len(a.segments) == 0 {
		return nil, errUnknown
	}
	return a, nil
}

// Close removes the temporary files.
func (a *Archive) Close() error {
	var errs error
	for _, f := range a.files {
		errs = errors.Join(errs, f.Close(), os.Remove(f.Name()))
	}
	a.files = nil
	return errs
}

// loadPlain reads entries up to the trailer and gives the end of it.
func (a *Archive) loadPlain(r io.ReaderAt, at, end int64) (last int64, ours bool, err error) {
	ours = true
	for {
		h, content, err := readHeader(r, at, end)
		if err != nil {
			return 0, false, err
		}
		if h.name == trailer {
			return min(content, end), ours, nil
		}
		ours = ours && h.devMajor == 0 && h.devMinor == ourDevice
		if a.count++; a.count > maxEntries {
			return 0, false, fmt.Errorf("it has more than %d entries", maxEntries)
		}
		if err := a.add(r, h, content); err != nil {
			return 0, false, err
		}
		at = align(content + int64(h.size))
	}
}

// add does what the kernel does with an entry.
func (a *Archive) add(r io.ReaderAt, h header, content int64) error {
	if !isClean(h.name) {
		return fmt.Errorf("an entry leads out of the archive: %.200q", h.name)
	}
	n := node{
		Entry: tree.Entry{Mode: h.mode, UID: h.uid, GID: h.gid, Size: int64(h.size), Links: max(h.nlink, 1)}, in: r, at: content,
	}
	if n.IsRegular() && h.nlink > 1 {
		n.link = &linkKey{in: r, major: h.devMajor, minor: h.devMinor, ino: h.ino}
		if h.size > 0 {
			a.contents[*n.link] = n
		}
	}
	if n.IsLink() {
		target, err := readTarget(r, content, int64(h.size))
		if err != nil {
			return fmt.Errorf("the link %.200q: %w", h.name, err)
		}
		n.Target = target
	}
	at, there, err := tree.ResolveParent(context.Background(), a, "/"+h.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// In a folder that isn't there the kernel makes nothing.
		if _, found := a.nodes[path.Dir(at)]; found {
			a.nodes[at] = n
		}
	case err != nil:
		// Nor below a file or a circle of links.
	case there.IsLink() && n.IsLink(), there.IsDir() && !n.IsDir() && a.hasChildren(at):
		// It doesn't replace these.
	default:
		a.nodes[at] = n
	}
	return nil
}

func readTarget(r io.ReaderAt, at, size int64) (string, error) {
	if size < 1 || size >= maxName {
		return "", fmt.Errorf("a target of %d bytes", size)
	}
	target := make([]byte, size)
	_, err := r.ReadAt(target, at)
	return string(target), err
}

func (a *Archive) hasChildren(folder string) bool {
	for name := range a.nodes {
		if name != "/" && (folder == "/" || strings.HasPrefix(name, folder+"/")) {
			return true
		}
	}
	return false
}

// Lstat implements tree.Tree.
func (a *Archive) Lstat(_ context.Context, path string) (tree.Entry, error) {
	n, found := a.nodes[path]
	if !found {
		return tree.Entry{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return a.withContents(n).Entry, nil
}

// Read implements tree.Tree.
func (a *Archive) Read(_ context.Context, path string, limit int64) ([]byte, error) {
	n, found := a.nodes[path]
	if !found {
		return nil, fmt.Errorf("%s in the image: %w", path, fs.ErrNotExist)
	}
	n = a.withContents(n)
	if n.Size > limit {
		return nil, fmt.Errorf("%s in the image has %d bytes, more than the %d that are expected", path, n.Size, limit)
	}
	content := make([]byte, n.Size)
	if n.Size == 0 {
		return content, nil
	}
	_, err := n.in.ReadAt(content, n.at)
	return content, err
}

// withContents finds the contents of a file whose other name has them.
func (a *Archive) withContents(n node) node {
	if n.link == nil {
		return n
	}
	if other, found := a.contents[*n.link]; found {
		n.Size, n.in, n.at = other.Size, other.in, other.at
	}
	return n
}
