// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package kataconfig reads what Kata's configuration says of the guest image,
// and writes the drop-in that names another one.
package kataconfig

import (
	"errors"
	"fmt"
	"io/fs"
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

// Load reads the file and, as Kata does, every file of config.d beside it in the
// order of their names.
func Load(path string) (Image, error) { return LoadWith(path, "", nil) }

// LoadWith is Load as if the drop-in had this text; without any, as if it was
// not there. One that is not in config.d counts for nothing.
func LoadWith(path, dropIn string, text []byte) (Image, error) {
	return load(path, dropIn, text, slices.Sort[[]string])
}

// LoadLast is LoadWith with the drop-in behind all others, whatever its name.
func LoadLast(path, dropIn string, text []byte) (Image, error) {
	return load(path, dropIn, text, func([]string) {})
}

// load reads the drop-ins in the order that arrange makes of their names, of
// which this one's is the last.
func load(path, dropIn string, text []byte, arrange func([]string)) (Image, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Image{}, fmt.Errorf("the configuration of Kata: %w", err)
	}
	folder := filepath.Join(filepath.Dir(path), "config.d")
	names, err := dropInNames(folder)
	if err != nil {
		return Image{}, fmt.Errorf("the configuration of Kata: %w", err)
	}
	instead := ""
	if inFolder(dropIn, folder) {
		instead = filepath.Base(dropIn)
		names = slices.DeleteFunc(names, func(name string) bool { return name == instead })
		if text != nil {
			names = append(names, instead)
		}
		arrange(names)
	}
	merged := map[string]section{}
	if err := mergeFile(merged, path); err != nil {
		return Image{}, err
	}
	for _, name := range names {
		if name == instead {
			err = merge(merged, text)
		} else {
			err = mergeFile(merged, filepath.Join(folder, name))
		}
		if err != nil {
			return Image{}, err
		}
	}
	return choose(merged, path)
}

// inFolder says whether a file is directly in a folder.
func inFolder(path, folder string) bool {
	a, err := os.Stat(filepath.Dir(path))
	b, err2 := os.Stat(folder)
	return path != "" && errors.Join(err, err2) == nil && os.SameFile(a, b)
}

func dropInNames(folder string) ([]string, error) {
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names, err
}

func mergeFile(merged map[string]section, path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own choice
	if err == nil {
		err = merge(merged, text)
	}
	if err != nil {
		return fmt.Errorf("the configuration of Kata: %s: %w", path, err)
	}
	return nil
}

func merge(merged map[string]section, text []byte) error {
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
