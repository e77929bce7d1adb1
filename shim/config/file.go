// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ErrInvalid says that the file does not make sense. Its message has the
// place and the remedy.
var ErrInvalid = errors.New("invalid configuration")

// File is a configuration file that was read and whose values were checked.
// Whether its programs exist is checked by For: a section for a runtime that
// is not installed harms nobody.
type File struct {
	path     string
	defaults section
	runtimes []section
	// system is where default programs are looked for; tests have their own.
	system root
}

// section is [defaults] or one [[runtime]] as it is written.
type section struct {
	// name is what error messages call the section.
	name       string
	ConfigPath string       `toml:"config_path"`
	InnerShim  string       `toml:"inner_shim"`
	Hypervisor string       `toml:"hypervisor"`
	DevicePath string       `toml:"device_path"`
	Minimum    *size        `toml:"minimum_size"`
	LateStore  string       `toml:"late_store"`
	LogLevel   string       `toml:"log_level"`
	Timeouts   timeoutTable `toml:"timeouts"`
}

type timeoutTable struct {
	Find     *duration `toml:"find"`
	Attach   *duration `toml:"attach"`
	Prepare  *duration `toml:"prepare"`
	Undo     *duration `toml:"undo"`
	HungDisk *duration `toml:"hung_disk"`
}

// Path is the file to read: the one that the environment names, or the default.
func Path() string {
	if path := os.Getenv(PathVariable); path != "" {
		return path
	}
	return DefaultPath
}

// Load reads a file. A missing file is an error unless it is DefaultPath, which
// an installation by kata-deploy does not need.
func Load(path string) (*File, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator's own choice
	switch {
	case errors.Is(err, fs.ErrNotExist) && path == DefaultPath:
		return parse(path, nil)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading the kata-tes configuration that %s names: %w; create the file or unset the variable", PathVariable, err)
	case err != nil:
		return nil, fmt.Errorf("reading the kata-tes configuration: %w", err)
	}
	return parse(path, content)
}

// Parse checks the content of a file that need not be in place; path is for error
// messages.
func Parse(path string, content []byte) (*File, error) { return parse(path, content) }

func parse(path string, content []byte) (*File, error) {
	var written struct {
		Defaults section   `toml:"defaults"`
		Runtimes []section `toml:"runtime"`
	}
	decoder := toml.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&written); err != nil {
		return nil, explain(path, err)
	}
	f := &File{path: path, defaults: written.Defaults, runtimes: written.Runtimes}
	f.defaults.name = "[defaults]"
	if err := f.defaults.check(path); err != nil {
		return nil, err
	}
	if f.defaults.ConfigPath != "" {
		return nil, f.defaults.wrong(path, "config_path", "it selects a [[runtime]]; remove it or move the keys to a [[runtime]] section")
	}
	return f, f.checkRuntimes()
}

func (f *File) checkRuntimes() error {
	seen := make(map[string]bool, len(f.runtimes))
	for i := range f.runtimes {
		r := &f.runtimes[i]
		r.name = fmt.Sprintf("[[runtime]] number %d", i+1)
		if err := r.check(f.path); err != nil {
			return err
		}
		switch {
		case !filepath.IsAbs(r.ConfigPath):
			return r.wrong(f.path, "config_path", fmt.Sprintf("%q is not an absolute path; write the handler's ConfigPath as containerd's configuration has it", r.ConfigPath))
		case seen[filepath.Clean(r.ConfigPath)]:
			return r.wrong(f.path, "config_path", fmt.Sprintf("%s has a section already; merge the two", r.ConfigPath))
		}
		seen[filepath.Clean(r.ConfigPath)] = true
	}
	return nil
}

// explain says where in the file the decoder stumbled.
func explain(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf("%w: %s line %d: unknown key %q; remove it, or look for a misspelling", ErrInvalid, path, row, strings.Join(first.Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		row, column := bad.Position()
		return fmt.Errorf("%w: %s line %d column %d, key %q: %s", ErrInvalid, path, row, column, strings.Join(bad.Key(), "."), bad.Error())
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
}

func (s *section) wrong(path, key, reason string) error {
	return fmt.Errorf("%w: %s, %s, key %q: %s", ErrInvalid, path, s.name, key, reason)
}
