// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// nameForm is what device-mapper and file names bear without quoting.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

func (c Config) check() error {
	for key, path := range map[string]string{
		"header_directory": c.HeaderDirectory,
		"tools.cryptsetup": c.Tools.Cryptsetup,
		"tools.mkfs_ext4":  c.Tools.MkfsExt4,
		"tools.mkfs_xfs":   c.Tools.MkfsXFS,
	} {
		if err := checkPath(path); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	for name, s := range c.Stores {
		if err := s.check(name); err != nil {
			return fmt.Errorf("store.%s.%w", name, err)
		}
	}
	return c.checkApart()
}

// checkApart makes sure that no store hides what another one, or the headers,
// need: nothing may be named twice or lie below a mount point.
func (c Config) checkApart() error {
	mappings := map[string]bool{}
	paths := map[string]string{c.HeaderDirectory: "header_directory"}
	for _, name := range slices.Sorted(maps.Keys(c.Stores)) {
		s := c.Stores[name]
		for _, mapping := range s.Profile.Encryption.Mappings(s.Mapping) {
			if mappings[mapping] {
				return fmt.Errorf("store.%s: mapping %q is used twice; give each store its own", name, mapping)
			}
			mappings[mapping] = true
		}
		for _, path := range s.MountPoints {
			for other, owner := range paths {
				if path == other {
					return fmt.Errorf("store.%s: %s is used twice (also by %s); give each its own", name, path, owner)
				}
				if isBelow(path, other) || isBelow(other, path) {
					return fmt.Errorf("store.%s: mount point %s and %s (%s) must not lie below each other", name, path, other, owner)
				}
			}
			paths[path] = "store." + name
		}
	}
	return nil
}

func isBelow(path, directory string) bool { return strings.HasPrefix(path, directory+"/") }

func (s Store) check(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("name: must be letters, digits, '_', '.', '-'")
	}
	// "control" is device-mapper's own node beside the mappings.
	if !nameForm.MatchString(s.Mapping) || s.Mapping == "control" {
		return fmt.Errorf("mapping: %q must be letters, digits, '_', '.', '-', and not \"control\"", s.Mapping)
	}
	for _, path := range s.MountPoints {
		if err := checkPath(path); err != nil {
			return fmt.Errorf("mount_points: %w", err)
		}
	}
	if uint64(s.MinimumSize) < s.Profile.Least {
		return fmt.Errorf("minimum_size: %d is less than %d MiB, which a store of profile %s needs at least",
			s.MinimumSize, s.Profile.Least>>20, s.Profile.Name)
	}
	if s.FindTimeout <= 0 || s.PrepareTimeout <= 0 {
		return fmt.Errorf("find_timeout, prepare_timeout: must be longer than nothing, write e.g. \"20s\"")
	}
	return nil
}

func checkPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return fmt.Errorf("%q must be an absolute path without '.', '..' or a trailing '/'", path)
	}
	return nil
}
