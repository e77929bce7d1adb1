// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// root is the folder that stands for / when programs are guessed.
type root string

func (r root) path(path string) string {
	if r == "" {
		return path
	}
	return filepath.Join(string(r), path)
}

const (
	// wrapperName is our own program, which Kata's drop-in names in place of
	// the real hypervisor.
	wrapperName = "kata-tes-qemu"
	// maxKataConfig bounds what is read of Kata's configuration, in bytes.
	maxKataConfig = 1 << 20
)

// kata-deploy has the Go shim in bin and the Rust shim in runtime-rs/bin, with
// the configuration files of the latter in a folder of that name too.
var (
	goShims   = []string{"/opt/kata/bin/containerd-shim-kata-v2", "/usr/local/bin/containerd-shim-kata-v2", "/usr/bin/containerd-shim-kata-v2"}
	rustShims = append([]string{"/opt/kata/runtime-rs/bin/containerd-shim-kata-v2"}, goShims...)
	monitors  = []string{"/opt/kata/bin/qemu-system-x86_64", "/usr/bin/qemu-system-x86_64"}
)

func (f *File) innerShim(chosen []*section, named, configPath string) (string, error) {
	if named != "" {
		if err := executable(f.node.path(named)); err != nil {
			return "", f.missing(chosen, "inner_shim", func(s *section) string { return s.InnerShim }, named, err)
		}
		return f.node.path(named), nil
	}
	candidates := goShims
	if strings.Contains(configPath, "/runtime-rs/") {
		candidates = rustShims
	}
	if found := f.system.first(candidates); found != "" {
		return found, nil
	}
	return "", fmt.Errorf("%w: %s names no inner_shim and there is none at %s; install Kata Containers, or name its shim with the key \"inner_shim\" in [defaults]",
		ErrInvalid, f.path, strings.Join(candidates, ", "))
}

// hypervisor prefers what Kata's own configuration file names: its drop-in
// replaces the value, not the file.
func (f *File) hypervisor(chosen []*section, named, configPath string) (string, error) {
	if named != "" {
		if err := executable(f.node.path(named)); err != nil {
			return "", f.missing(chosen, "hypervisor", func(s *section) string { return s.Hypervisor }, named, err)
		}
		return f.node.path(named), nil
	}
	candidates := monitors
	if configPath != "" {
		kata, err := kataHypervisor(f.system.path(configPath))
		if err != nil {
			return "", err
		}
		if kata != "" {
			candidates = append([]string{kata}, candidates...)
		}
	}
	return f.system.first(candidates), nil
}

func (r root) first(candidates []string) string {
	for _, path := range candidates {
		if executable(r.path(path)) == nil {
			return r.path(path)
		}
	}
	return ""
}

// kataHypervisor reads [hypervisor.qemu] path of a Kata configuration file.
// Empty when the file is not there or names no QEMU: Kata itself has the say
// on what is wrong with it then.
func kataHypervisor(configPath string) (string, error) {
	info, err := os.Stat(configPath)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for the Kata configuration: %w", err)
	}
	if info.Size() > maxKataConfig {
		return "", fmt.Errorf("the Kata configuration %s has %d bytes, more than %d; check the runtime option ConfigPath", configPath, info.Size(), maxKataConfig)
	}
	content, err := os.ReadFile(configPath) //nolint:gosec // named by containerd's configuration
	if err != nil {
		return "", fmt.Errorf("reading the Kata configuration: %w", err)
	}
	var kata struct {
		Hypervisor struct {
			QEMU struct {
				Path string `toml:"path"`
			} `toml:"qemu"`
		} `toml:"hypervisor"`
	}
	if err := toml.Unmarshal(content, &kata); err != nil {
		return "", fmt.Errorf("parsing the Kata configuration %s, which has to be corrected: %w", configPath, err)
	}
	path := kata.Hypervisor.QEMU.Path
	if !filepath.IsAbs(path) || filepath.Base(path) == wrapperName {
		return "", nil
	}
	return path, nil
}
