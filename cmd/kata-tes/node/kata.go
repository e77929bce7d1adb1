// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Kata is a configuration of Kata Containers as it applies to a handler.
type Kata struct {
	// Path is the main file, symbolic links followed: Kata looks for drop-ins
	// beside that.
	Path string `json:"path"`
	// DropIns are the files of config.d, in the order in which they are merged.
	DropIns []string `json:"dropIns,omitempty"`
	// Hypervisors are the names that have a table, such as qemu.
	Hypervisors []string `json:"hypervisors"`
	// QEMUPath is [hypervisor.qemu] path when all is merged: what Kata starts.
	QEMUPath string `json:"qemuPath,omitempty"`
	// QEMUPathFile is the last file that sets it.
	QEMUPathFile string `json:"qemuPathFile,omitempty"`
	// RealQEMU is the last path that is not our wrapper; empty when only the
	// wrapper, or nothing, is named.
	RealQEMU string `json:"realQemu,omitempty"`
	// Shim is Kata's own shim for this configuration; empty when none was found.
	Shim string `json:"shim"`
	// Rust says that it is runtime-rs.
	Rust bool `json:"rust"`
	// Merged is all of it.
	Merged map[string]any `json:"-"`
}

// Wrapped says that Kata starts our program in QEMU's place.
func (k *Kata) Wrapped() bool { return path.Base(k.QEMUPath) == WrapperName }

// Folder is where the main file is.
func (k *Kata) Folder() string { return path.Dir(k.Path) }

// DropInFolder is where drop-ins for it go.
func (k *Kata) DropInFolder() string { return path.Join(k.Folder(), "config.d") }

// Where Kata's own shims are when a handler does not say: kata-deploy's place
// first.
var (
	goShims   = append([]string{"/opt/kata/bin/" + KataShimName}, inDirs(KataShimName, programDirs)...)
	rustShims = append([]string{"/opt/kata/runtime-rs/bin/" + KataShimName}, goShims...)
)

// Where a shim looks when it is given no file: pkg/katautils of the Go runtime
// with the prefixes of distributions and of kata-deploy, kata-types'
// config/default.rs of the Rust one.
var (
	goConfigs = []string{
		"/etc/kata-containers/configuration.toml",
		"/usr/share/defaults/kata-containers/configuration.toml",
		"/usr/share/kata-containers/defaults/configuration.toml",
	}
	goConfigsOfKataDeploy = []string{
		"/etc/kata-containers/configuration.toml",
		"/opt/kata/share/defaults/kata-containers/configuration.toml",
	}
	rustConfigs = []string{
		"/etc/kata-containers/runtime-rs/configuration.toml",
		"/usr/share/defaults/kata-containers/runtime-rs/configuration.toml",
		"/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml",
	}
)

// ErrNoKata says that a handler's Kata configuration was not found.
var ErrNoKata = errors.New("no Kata configuration")

func findKata(t *Tree, h *Handler) (*Kata, error) {
	k := &Kata{}
	k.findShim(t, h)
	name := h.ConfigPath
	if name == "" {
		candidates := goConfigs
		switch {
		case k.Rust:
			candidates = rustConfigs
		case strings.HasPrefix(k.Shim, "/opt/kata/"):
			candidates = goConfigsOfKataDeploy
		}
		found, err := t.firstFile(candidates)
		if err != nil {
			return nil, err
		}
		if found == "" {
			return nil, fmt.Errorf("%w for the handler %s: it has no ConfigPath and there is none at %s", ErrNoKata, h.Name, strings.Join(candidates, ", "))
		}
		name = found
	}
	if err := k.load(t, name); err != nil {
		return nil, err
	}
	return k, nil
}

// findShim tells Kata's own shim from the handler: it is the handler's shim,
// unless that is ours already.
func (k *Kata) findShim(t *Tree, h *Handler) {
	k.Rust = strings.Contains(h.ConfigPath, "/runtime-rs/") || strings.Contains(h.Shim, "/runtime-rs/")
	switch {
	case h.Shim != "" && !h.Ours:
		k.Shim = h.Shim
	case k.Rust:
		k.Shim = t.first(rustShims...)
	default:
		k.Shim = t.first(goShims...)
	}
}

func (t *Tree) firstFile(candidates []string) (string, error) {
	for _, name := range candidates {
		found, err := t.Exists(name)
		if found || err != nil {
			return name, err
		}
	}
	return "", nil
}

// load merges the main file and its drop-ins: every file in config.d beside the
// file that the links lead to, by name, whatever the name is (decodeDropIns of
// the Go runtime, kata-types' config/drop_in.rs of the Rust one).
func (k *Kata) load(t *Tree, name string) error {
	var err error
	if k.Path, err = t.Resolve(name); err != nil {
		return fmt.Errorf("looking for the Kata configuration: %w", err)
	}
	names, err := t.List(k.DropInFolder())
	if err != nil {
		return fmt.Errorf("looking for drop-ins of the Kata configuration %s: %w", k.Path, err)
	}
	k.DropIns = inFolder(k.DropInFolder(), names)
	k.Merged = make(map[string]any)
	for _, file := range append([]string{k.Path}, k.DropIns...) {
		if err := k.add(t, file); err != nil {
			return err
		}
	}
	hypervisors, _ := k.Merged["hypervisor"].(map[string]any)
	for name := range hypervisors {
		k.Hypervisors = append(k.Hypervisors, name)
	}
	slices.Sort(k.Hypervisors)
	return nil
}

func inFolder(folder string, names []string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, path.Join(folder, name))
	}
	return paths
}

func (k *Kata) add(t *Tree, file string) error {
	content, err := t.Read(file)
	if err != nil {
		return fmt.Errorf("reading the Kata configuration: %w", err)
	}
	var written map[string]any
	if err := toml.Unmarshal(content, &written); err != nil {
		return fmt.Errorf("the Kata configuration %s cannot be read: %w", file, err)
	}
	mergeTables(k.Merged, written)
	at := written
	for _, key := range []string{"hypervisor", "qemu"} {
		at, _ = at[key].(map[string]any)
	}
	if qemu := text(at["path"]); qemu != "" {
		k.QEMUPath, k.QEMUPathFile = qemu, file
		if path.Base(qemu) != WrapperName {
			k.RealQEMU = qemu
		}
	}
	return nil
}
