// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// For gives the settings of sandboxes whose Kata configuration file is
// configPath; empty when containerd named none. A [[runtime]] section comes
// before [defaults], [defaults] before what is built in.
func (f *File) For(configPath string) (Settings, error) {
	s := builtin()
	chosen := f.choose(configPath)
	for _, section := range chosen {
		section.apply(&s)
	}
	var err error
	if s.InnerShim, err = f.innerShim(chosen, s.InnerShim, configPath); err != nil {
		return Settings{}, err
	}
	if s.Hypervisor, err = f.hypervisor(chosen, s.Hypervisor, configPath); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// DefaultHypervisor is the QEMU of [defaults], for what our shim did not start.
// It needs no inner shim. Empty when none was named and none was found.
func (f *File) DefaultHypervisor() (string, error) {
	chosen := f.choose("")
	return f.hypervisor(chosen, f.defaults.Hypervisor, "")
}

// choose lists the sections that apply, the strongest last.
func (f *File) choose(configPath string) []*section {
	chosen := []*section{&f.defaults}
	if configPath == "" {
		return chosen
	}
	for i := range f.runtimes {
		if filepath.Clean(f.runtimes[i].ConfigPath) == filepath.Clean(configPath) {
			chosen = append(chosen, &f.runtimes[i])
		}
	}
	return chosen
}

func (s *section) apply(to *Settings) {
	text := func(written string, to *string) {
		if written != "" {
			*to = written
		}
	}
	limit := func(written *duration, to *time.Duration) {
		if written != nil {
			*to = time.Duration(*written)
		}
	}
	text(s.InnerShim, &to.InnerShim)
	text(s.Hypervisor, &to.Hypervisor)
	text(s.DevicePath, &to.DevicePath)
	text(s.LateStore, (*string)(&to.LateStore))
	text(s.LogLevel, &to.LogLevel)
	if s.Minimum != nil {
		to.MinimumSize = uint64(*s.Minimum)
	}
	limit(s.Timeouts.Find, &to.Timeouts.Find)
	limit(s.Timeouts.Attach, &to.Timeouts.Attach)
	limit(s.Timeouts.Prepare, &to.Timeouts.Prepare)
	limit(s.Timeouts.Undo, &to.Timeouts.Undo)
	limit(s.Timeouts.HungDisk, &to.Timeouts.HungDisk)
}

// missing is the error for a program that the file names and that cannot run.
func (f *File) missing(chosen []*section, key string, value func(*section) string, program string, reason error) error {
	name := "[defaults]"
	for _, s := range chosen {
		if value(s) != "" {
			name = s.name
		}
	}
	return fmt.Errorf("%w: %s, %s, key %q: %s cannot be executed (%w); install it or correct the path", ErrInvalid, f.path, name, key, program, reason)
}

// executable says whether a path is a program that may be run.
func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking for it: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("not an executable file: mode %s", info.Mode())
	}
	return nil
}
