// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrChanged says that somebody wrote to config.json after it was read.
var ErrChanged = errors.New("config.json has changed meanwhile")

// Rewrite replaces the bundle's config.json by the one without the store.
// Done twice, by two calls that read the same file, it is a success.
//
// The file is replaced by renaming: whoever reads it has the old one or the new
// one, never half of it. It isn't synced to the disk: after a crash of the node
// neither the bundle nor its virtual machine is used again.
func (s *Spec) Rewrite(store *Store) error {
	content, err := s.Without(store)
	if err != nil {
		return err
	}
	current, err := os.ReadFile(s.path)
	switch {
	case err != nil:
		return fmt.Errorf("rewriting the container's specification: %w", err)
	case bytes.Equal(current, content):
		return nil
	case !bytes.Equal(current, s.raw):
		return fmt.Errorf("%w: %s; try again", ErrChanged, s.path)
	}
	if err := replace(s.path, content); err != nil {
		return fmt.Errorf("rewriting the container's specification: %w", err)
	}
	return nil
}

// replace gives a file new content, with the old mode and owner.
func replace(path string, content []byte) (err error) {
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+configFile+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := fill(f, content, old); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// fill writes, and makes f look like the old file.
func fill(f *os.File, content []byte, old os.FileInfo) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	if owner, ok := old.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	// After chown, which takes set-id bits away.
	return f.Chmod(old.Mode())
}
