// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	// maxConfig bounds what is read of a configuration file, in bytes.
	maxConfig = 4 << 20
	// maxLinks is the kernel's own limit for symbolic links in one path
	// (path_resolution(7)).
	maxLinks = 40
)

// Tree is the files of a node. Paths are absolute, as the node itself has them.
type Tree struct {
	root *os.Root
	dir  string
	// changed are files as if they had these contents; nil: as if not there.
	changed map[string][]byte
}

// Open opens the node whose / is the folder dir.
func Open(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the node's root folder: %w", err)
	}
	return &Tree{root: root, dir: dir}, nil
}

// Close ends the use of the tree and of all that With made of it.
func (t *Tree) Close() error { return t.root.Close() }

// Dir is the folder that stands for the node's /.
func (t *Tree) Dir() string { return t.dir }

// Root gives access to the same files for writing.
func (t *Tree) Root() *os.Root { return t.root }

// With is the same tree as if some files had other contents (or, nil, were not
// there). Keys are paths without symbolic links, as Resolve gives them.
func (t *Tree) With(changed map[string][]byte) *Tree {
	merged := make(map[string][]byte, len(t.changed)+len(changed))
	for _, from := range []map[string][]byte{t.changed, changed} {
		for name, content := range from {
			merged[path.Clean(name)] = content
		}
	}
	return &Tree{root: t.root, dir: t.dir, changed: merged}
}

// Resolve follows the symbolic links in a path as the node would: an absolute
// one starts at the node's /, and .. does not lead above it. What does not
// exist is taken as it is written.
func (t *Tree) Resolve(name string) (string, error) {
	at, rest, links := "/", components(name), 0
	for len(rest) > 0 {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		target, err := t.readlink(next)
		switch {
		case err != nil:
			return "", fmt.Errorf("following %s: %w", name, err)
		case target == "":
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("following %s: too many symbolic links", name)
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(components(target), rest...)
	}
	return at, nil
}

// components of a path; path.Join takes care of "." and "..".
func components(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(c string) bool { return c == "" || c == "." })
}

// readlink is the target of a symbolic link, empty for anything else.
func (t *Tree) readlink(name string) (string, error) {
	if _, known := t.changed[name]; known {
		return "", nil
	}
	info, err := t.root.Lstat(inside(name))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotDir):
		return "", nil
	case err != nil:
		return "", err
	case info.Mode()&fs.ModeSymlink == 0:
		return "", nil
	}
	return t.root.Readlink(inside(name))
}

// inside is a path as os.Root takes it.
func inside(name string) string {
	if name = strings.TrimPrefix(path.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

// Read gives a configuration file's content.
func (t *Tree) Read(name string) ([]byte, error) {
	resolved, err := t.Resolve(name)
	if err != nil {
		return nil, err
	}
	if content, known := t.changed[resolved]; known {
		if content == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return content, nil
	}
	// Not to wait for a writer where somebody has put a pipe.
	info, err := t.root.Stat(inside(resolved))
	if err != nil {
		return nil, named(err, name)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	file, err := t.root.Open(inside(resolved))
	if err != nil {
		return nil, named(err, name)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(content) > maxConfig {
		return nil, fmt.Errorf("%s has more than %d bytes, which no configuration has", name, maxConfig)
	}
	return content, nil
}

// List gives the names in a folder, sorted; none when there is no folder.
func (t *Tree) List(name string) ([]string, error) {
	resolved, err := t.Resolve(name)
	if err != nil {
		return nil, err
	}
	names, err := t.readDir(resolved)
	if err != nil {
		return nil, err
	}
	for file, content := range t.changed {
		if path.Dir(file) != resolved {
			continue
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n == path.Base(file) })
		if content != nil {
			names = append(names, path.Base(file))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (t *Tree) readDir(name string) ([]string, error) {
	folder, err := t.root.Open(inside(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	return folder.Readdirnames(-1)
}

// Exists says whether there is something by that name, links followed.
func (t *Tree) Exists(name string) (bool, error) {
	resolved, err := t.Resolve(name)
	if err != nil {
		return false, err
	}
	if content, known := t.changed[resolved]; known {
		return content != nil, nil
	}
	_, err = t.root.Lstat(inside(resolved))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
		return false, nil
	}
	return err == nil, err
}

// Stat is what there is by that name, links followed. It knows nothing of With.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	resolved, err := t.Resolve(name)
	if err != nil {
		return nil, err
	}
	info, err := t.root.Lstat(inside(resolved))
	return info, named(err, name)
}

// named gives an error of os.Root, which has a path without its first slash, the
// path that was asked for.
func named(err error, name string) error {
	var wrong *fs.PathError
	if !errors.As(err, &wrong) {
		return err
	}
	return &fs.PathError{Op: strings.TrimSuffix(wrong.Op, "at"), Path: name, Err: wrong.Err}
}

// Executable says why a path is no program that can be run, or nil. It knows
// nothing of With.
func (t *Tree) Executable(name string) error {
	info, err := t.Stat(name)
	if err != nil {
		return fmt.Errorf("looking for the program %s: %w", name, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s is not an executable file: mode %s", name, info.Mode())
	}
	return nil
}

// first of some programs that can be run, or empty.
func (t *Tree) first(candidates ...string) string {
	for _, name := range candidates {
		if t.Executable(name) == nil {
			return name
		}
	}
	return ""
}
