// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package tree is a guest's file tree, whatever it is kept in: how paths are
// followed in it, and what has to be changed so that it has certain files.
// Nothing here looks at this machine's own files: a link in an image leads to a
// place in the image.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is what is known of a file.
type Entry struct {
	// Mode is st_mode: permissions and type (inode(7)).
	Mode uint32
	// UID and GID are the owner's.
	UID, GID uint32
	// Size in bytes.
	Size int64
	// Links is how many names it has.
	Links uint32
	// Target of a symbolic link.
	Target string
}

// IsDir and the others say of which type it is.
func (e Entry) IsDir() bool { return e.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsRegular says that it is a regular file.
func (e Entry) IsRegular() bool { return e.Mode&unix.S_IFMT == unix.S_IFREG }

// IsLink says that it is a symbolic link.
func (e Entry) IsLink() bool { return e.Mode&unix.S_IFMT == unix.S_IFLNK }

// Tree is a guest's file tree. Paths are absolute, clean, and have no link
// among their parents: Resolve gives such.
type Tree interface {
	// Lstat doesn't follow a link. What isn't there is fs.ErrNotExist.
	Lstat(ctx context.Context, path string) (Entry, error)
	// Read gives a regular file's contents; more than limit bytes is an error.
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
}

const (
	// maxLinks is how many links one path may lead over, as in Linux.
	maxLinks = 40
	// maxPath is the longest path, in bytes, as in Linux.
	maxPath = 4096
)

// Resolve follows links and gives the path without any, with what is there. When
// nothing is, the error is fs.ErrNotExist and the path is where it would be.
func Resolve(ctx context.Context, t Tree, name string) (string, Entry, error) {
	return resolve(ctx, t, name, true)
}

// ResolveParent is Resolve without following the last component.
func ResolveParent(ctx context.Context, t Tree, name string) (string, Entry, error) {
	return resolve(ctx, t, name, false)
}

func resolve(ctx context.Context, t Tree, name string, last bool) (string, Entry, error) {
	here, entry := "/", Entry{Mode: unix.S_IFDIR}
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			// The root's parent is the root.
			here, entry = path.Dir(here), Entry{Mode: unix.S_IFDIR}
			continue
		}
		if !entry.IsDir() {
			return "", Entry{}, fmt.Errorf("%s in the image: %s is not a folder", name, here)
		}
		here = path.Join(here, part)
		if len(here) > maxPath {
			return "", Entry{}, fmt.Errorf("%.100s… in the image: the path is too long", name)
		}
		var err error
		entry, err = t.Lstat(ctx, here)
		if errors.Is(err, fs.ErrNotExist) {
			return missing(name, here, rest)
		}
		if err != nil {
			return "", Entry{}, err
		}
		if !entry.IsLink() || len(rest) == 0 && !last {
			continue
		}
		if links++; links > maxLinks {
			return "", Entry{}, fmt.Errorf("%s in the image: its links lead in a circle", name)
		}
		rest = append(strings.Split(entry.Target, "/"), rest...)
		here = path.Dir(here)
		if strings.HasPrefix(entry.Target, "/") {
			here = "/"
		}
		entry = Entry{Mode: unix.S_IFDIR}
	}
	return here, entry, nil
}

func missing(name, here string, rest []string) (string, Entry, error) {
	for _, part := range rest {
		if part == ".." {
			return "", Entry{}, fmt.Errorf("%s in the image: there is no %s", name, here)
		}
	}
	at := path.Join(append([]string{here}, rest...)...)
	return at, Entry{}, fmt.Errorf("%s in the image: %w", name, fs.ErrNotExist)
}

// ReadFile follows links and reads a regular file.
func ReadFile(ctx context.Context, t Tree, name string, limit int64) ([]byte, error) {
	at, entry, err := Resolve(ctx, t, name)
	if err != nil {
		return nil, err
	}
	if !entry.IsRegular() {
		return nil, fmt.Errorf("%s in the image is not a regular file", name)
	}
	return t.Read(ctx, at, limit)
}
