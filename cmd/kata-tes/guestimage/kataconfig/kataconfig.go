// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package kataconfig reads what Kata's configuration says of the guest image,
// and writes the drop-in that names another one.
package kataconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// Image is what the configuration says of the guest image.
type Image struct {
	// Hypervisor is the section's name, below [hypervisor].
	Hypervisor string
	// Image and Initrd are paths; one is empty.
	Image, Initrd string
	// KernelParams are the words for the guest's kernel.
	KernelParams string
	// KernelVerityParams, of Kata 3.27 and later; empty for an image that isn't
	// measured.
	KernelVerityParams string
}

// section has the keys that matter. What is not set in a drop-in stays.
type section struct {
	Image              *string `toml:"image"`
	Initrd             *string `toml:"initrd"`
	KernelParams       *string `toml:"kernel_params"`
	KernelVerityParams *string `toml:"kernel_verity_params"`
}

// Load reads the file and, as Kata does, the drop-ins of config.d beside it in
// the order of their names, but for the one at except, which is about to be
// written.
func Load(path, except string) (Image, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Image{}, fmt.Errorf("the configuration of Kata: %w", err)
	}
	dropIns, err := filepath.Glob(filepath.Join(filepath.Dir(path), "config.d", "*.toml"))
	if err != nil {
		return Image{}, err
	}
	slices.Sort(dropIns)
	merged := map[string]section{}
	for _, file := range append([]string{path}, dropIns...) {
		if file == except {
			continue
		}
		if err := merge(merged, file); err != nil {
			return Image{}, fmt.Errorf("the configuration of Kata %s: %w", file, err)
		}
	}
	return choose(merged, path)
}

func merge(merged map[string]section, file string) error {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's own choice
	if err != nil {
		return err
	}
	var c struct {
		Hypervisor map[string]section `toml:"hypervisor"`
	}
	if err := toml.Unmarshal(text, &c); err != nil {
		return err
	}
	for name, s := range c.Hypervisor {
		m := merged[name]
		for _, key := range []struct{ to, from **string }{
			{&m.Image, &s.Image},
			{&m.Initrd, &s.Initrd},
			{&m.KernelParams, &s.KernelParams},
			{&m.KernelVerityParams, &s.KernelVerityParams},
		} {
			if *key.from != nil {
				*key.to = *key.from
			}
		}
		merged[name] = m
	}
	return nil
}

// choose takes QEMU's section, or the only one.
func choose(merged map[string]section, path string) (Image, error) {
	name := DefaultHypervisor
	s, found := merged[name]
	if !found && len(merged) == 1 {
		for name, s = range merged {
			found = true
		}
	}
	if !found {
		return Image{}, fmt.Errorf("%s has no section [hypervisor.%s]: is it Kata's configuration?", path, DefaultHypervisor)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return Image{
		Hypervisor: name, Image: text(s.Image), Initrd: text(s.Initrd),
		KernelParams: text(s.KernelParams), KernelVerityParams: text(s.KernelVerityParams),
	}, nil
}

// Names says whether the configuration names this file, under whatever path.
func (i Image) Names(path string) bool {
	for _, named := range []string{i.Image, i.Initrd} {
		if named == "" {
			continue
		}
		a, err := os.Stat(named)
		b, err2 := os.Stat(path)
		if errors.Join(err, err2) == nil && os.SameFile(a, b) {
			return true
		}
	}
	return false
}
