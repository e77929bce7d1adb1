// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"path"
	"slices"
	"strings"
)

// dropFolders removes folders that we made and that nothing is in any more.
// Those of the record itself go with it, in Forget.
func (j *Journal) dropFolders(r *record) error {
	var kept []string
	for _, dir := range slices.Backward(r.Folders) {
		needed := strings.HasPrefix(Folder+"/", dir+"/") ||
			slices.ContainsFunc(r.Files, func(e entry) bool { return strings.HasPrefix(e.Path, dir+"/") })
		if !needed {
			if err := j.disk.rmdir(dir); err != nil {
				return err
			}
			var err error
			if needed, err = j.disk.exists(dir); err != nil {
				return err
			}
		}
		if needed {
			kept = append(kept, dir)
		}
	}
	slices.Reverse(kept)
	r.Folders = kept
	return nil
}

// sweep removes saved contents that the record does not name; nil names none.
func (j *Journal) sweep(r *record) error {
	names, err := j.tree.List(beforeFolder)
	if err != nil {
		return err
	}
	for _, name := range names {
		needed := r != nil && slices.ContainsFunc(r.Files, func(e entry) bool { return e.Before != nil && e.Before.SHA256 == name })
		if needed {
			continue
		}
		if err := j.disk.remove(path.Join(beforeFolder, name)); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes the record when all files are as they were before. The record
// itself goes last: until then everything can be tried again.
func (j *Journal) Forget() error {
	var made []string
	if j.recorded != nil {
		made = j.recorded.Folders
	}
	for _, step := range []func() error{
		func() error { return j.sweep(nil) },
		func() error { return j.disk.rmdir(beforeFolder) },
		func() error { return j.disk.remove(temporary(recordFile)) },
		func() error { return j.disk.remove(recordFile) },
		func() error { return j.disk.rmdir(Folder) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	j.recorded, j.base = nil, nil
	for _, dir := range slices.Backward(made) {
		if err := j.disk.rmdir(dir); err != nil {
			return err
		}
	}
	return nil
}
