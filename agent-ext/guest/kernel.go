// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
	"golang.org/x/sys/unix"
)

// Kernel is where the running kernel says what it has. Empty fields mean the
// usual places.
type Kernel struct {
	// Proc is procfs, Modules the folder of the kernel's modules,
	// /lib/modules/RELEASE.
	Proc, Modules string
	// Targets asks device-mapper for its targets.
	Targets func() ([]string, error)
}

// Check says what the running kernel lacks for the stores of the configuration:
// file systems and device-mapper targets, built in or as modules that it can
// load. Like CheckTools it is for the start, not for the first pod.
func (k Kernel) Check(c config.Config) error {
	k, err := k.withDefaults()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Stores)) {
		profile := c.Stores[name].Profile
		lacks := func(what, option string) {
			errs = append(errs, fmt.Errorf("store.%s: the guest's kernel has no %s, which profile %s needs; use a kernel with %s, or another profile in agent.toml",
				name, what, profile.Name, option))
		}
		fs := profile.FileSystem.Name
		if has, err := k.hasFileSystem(fs); err != nil {
			errs = append(errs, err)
		} else if !has {
			lacks("file system "+fs, "CONFIG_"+strings.ToUpper(fs)+"_FS")
		}
		for _, target := range profile.Encryption.Targets() {
			if has, err := k.hasTarget(target); err != nil {
				errs = append(errs, err)
			} else if !has {
				lacks("dm-"+target, "CONFIG_DM_"+strings.ToUpper(target))
			}
		}
	}
	return errors.Join(errs...)
}

func (k Kernel) withDefaults() (Kernel, error) {
	if k.Proc == "" {
		k.Proc = "/proc"
	}
	if k.Targets == nil {
		k.Targets = luks.KernelTargets
	}
	if k.Modules == "" {
		var name unix.Utsname
		if err := unix.Uname(&name); err != nil {
			return k, fmt.Errorf("asking for the kernel's release: %w", err)
		}
		k.Modules = filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]))
	}
	return k, nil
}

// hasFileSystem: the kernel knows it, or could load it when it is mounted.
func (k Kernel) hasFileSystem(name string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(k.Proc, "filesystems"))
	if err != nil {
		return false, fmt.Errorf("asking for the kernel's file systems: %w", err)
	}
	if slices.Contains(strings.Fields(string(text)), name) {
		return true, nil
	}
	return k.hasModule(name)
}

// hasTarget: device-mapper has it, or could load it for a table.
func (k Kernel) hasTarget(name string) (bool, error) {
	targets, err := k.Targets()
	if err != nil {
		return false, err
	}
	if slices.Contains(targets, name) {
		return true, nil
	}
	return k.hasModule("dm-" + name)
}

// hasModule: it is among the modules that modprobe can load. A kernel that has
// all built in has no such lists.
func (k Kernel) hasModule(name string) (bool, error) {
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		text, err := os.ReadFile(filepath.Join(k.Modules, list)) //nolint:gosec // the guest image
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("asking for the kernel's modules: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			path, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			base, _, _ := strings.Cut(filepath.Base(path), ".ko")
			if base == name {
				return true, nil
			}
		}
	}
	return false, nil
}
