// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Request says what goes into which image.
type Request struct {
	// In is the image that is read, Out the one to make: the same path to replace
	// it.
	In, Out string
	// Force replaces what is at Out.
	Force bool
	// Agent is the agent extension's program.
	Agent string
	// Profile or Configuration, a file, decide agent.toml. With neither the one
	// in the image stays, or the defaults are taken.
	Profile, Configuration string
	// KataConfig is Kata's configuration for the image; may be empty.
	KataConfig string
	// DropIn is where to write one for the new image; empty for none.
	DropIn string
	// Salt of the hash tree; empty for the superblock's, or one that follows from
	// the image.
	Salt []byte
}

// complete makes paths absolute and says what is wrong with them before work
// begins.
func (r *Request) complete() error {
	if r.Profile != "" && r.Configuration != "" {
		return errors.New("a profile and a configuration were given: choose one")
	}
	in, err := filepath.EvalSymlinks(r.In)
	if err != nil {
		return fmt.Errorf("the guest image: %w", err)
	}
	inPlace := sameFile(r.In, r.Out)
	if r.In, err = filepath.Abs(in); err != nil {
		return err
	}
	if inPlace {
		// Kata's name for its image is a link to the one of a version.
		r.Out, r.Force = r.In, true
	}
	if r.Out, err = filepath.Abs(r.Out); err != nil {
		return err
	}
	for _, path := range []*string{&r.Out, &r.DropIn} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
		folder, err := os.Stat(filepath.Dir(*path))
		if err != nil {
			return fmt.Errorf("where %s shall be: %w", filepath.Base(*path), err)
		}
		if !folder.IsDir() {
			return fmt.Errorf("%s is not a folder", filepath.Dir(*path))
		}
	}
	if info, err := os.Lstat(r.Out); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there already and is not a regular file", r.Out)
	}
	return nil
}

// sameFile also knows links.
func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, err2 := os.Stat(b)
	return errors.Join(err, err2) == nil && os.SameFile(first, second)
}
