// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a container's root file system, mounted.
type Root struct {
	path, overlay string
}

// Mount mounts the layers with a writable one on top. Unmount must be called.
func (s *Store) Mount(layers []string, container, path string) (_ *Root, err error) {
	r := &Root{path: path, overlay: filepath.Join(s.root, "overlay", container)}
	upper, work := filepath.Join(r.overlay, "upperdir"), filepath.Join(r.overlay, "workdir")
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(r.overlay))
		}
	}()
	for _, folder := range []string{upper, work, path} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("making the container's root: %w", err)
		}
	}
	// overlayfs has the uppermost first.
	lower := slices.Clone(layers)
	slices.Reverse(lower)
	options := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", path, "overlay", 0, options); err != nil {
		return nil, fmt.Errorf("mounting the container's root: %w", err)
	}
	return r, nil
}

// Unmount ends it and removes what the container wrote.
func (r *Root) Unmount() error {
	if err := unix.Unmount(r.path, 0); err != nil {
		return fmt.Errorf("unmounting the container's root %s: %w", r.path, err)
	}
	if err := os.RemoveAll(r.overlay); err != nil {
		return fmt.Errorf("removing what the container wrote: %w", err)
	}
	return nil
}
