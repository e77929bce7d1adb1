// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// File is a file as it shall be, root's: a regular file with its contents, a
// symbolic link with its target, or a folder.
type File struct {
	Path string
	// Mode has the type.
	Mode    uint32
	Content []byte
	Target  string
}

// Regular and the others make a File.
func Regular(path string, permissions uint32, content []byte) File {
	return File{Path: path, Mode: unix.S_IFREG | permissions, Content: content}
}

// Link makes a symbolic link.
func Link(path, target string) File {
	return File{Path: path, Mode: unix.S_IFLNK | 0o777, Target: target}
}

// folderMode is for folders that have to be made.
const folderMode = unix.S_IFDIR | 0o755

// Step is something to do: to make the file, at a path without links, in place
// of what is there.
type Step struct {
	File
	// Replaces is what is there now, if anything.
	Replaces *Entry
}

// Plan says what has to be done so that the tree has the files: nothing for
// those that are there already with the same contents, owner and permissions.
// Missing folders come before what is in them.
func Plan(ctx context.Context, t Tree, files []File) ([]Step, error) {
	var steps []Step
	for _, file := range files {
		more, err := plan(ctx, t, file, steps)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

func plan(ctx context.Context, t Tree, file File, before []Step) ([]Step, error) {
	at, entry, err := ResolveParent(ctx, t, file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		folders, err := missingFolders(ctx, t, path.Dir(at), before)
		file.Path = at
		return append(folders, Step{File: file}), err
	}
	if err != nil {
		return nil, err
	}
	if entry.IsDir() {
		return nil, fmt.Errorf("%s in the image is a folder, and must be a file or missing", file.Path)
	}
	same, err := file.is(ctx, t, at, entry)
	if err != nil || same {
		return nil, err
	}
	file.Path = at
	return []Step{{File: file, Replaces: &entry}}, nil
}

// is says whether the file is there already.
func (f File) is(ctx context.Context, t Tree, at string, e Entry) (bool, error) {
	if e.Mode != f.Mode || e.UID != 0 || e.GID != 0 {
		return false, nil
	}
	if e.IsLink() {
		return e.Target == f.Target, nil
	}
	if e.Size != int64(len(f.Content)) {
		return false, nil
	}
	content, err := t.Read(ctx, at, e.Size)
	return bytes.Equal(content, f.Content), err
}

func missingFolders(ctx context.Context, t Tree, folder string, before []Step) ([]Step, error) {
	var steps []Step
	for ; folder != "/"; folder = path.Dir(folder) {
		if slices.ContainsFunc(before, func(s Step) bool { return s.Path == folder }) {
			break
		}
		entry, err := t.Lstat(ctx, folder)
		if err == nil && !entry.IsDir() {
			return nil, fmt.Errorf("%s in the image is not a folder", folder)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		steps = append(steps, Step{File: File{Path: folder, Mode: folderMode}})
	}
	slices.Reverse(steps)
	return steps, nil
}
