// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Containerd is the containerd of a node and its configuration.
type Containerd struct {
	// Binary is its program; empty when none was found.
	Binary string `json:"binary"`
	// Version is what was written into the program when it was built, such as
	// v1.7.27; empty when that cannot be read.
	Version string `json:"version"`
	// Major is 1 or 2; 0 when neither program nor configuration tells.
	Major int `json:"major"`
	// Config is the main configuration file.
	Config string `json:"config"`
	// Rendered says that the file is written anew whenever containerd starts
	// (k3s, RKE2), so that an edit of it would be lost.
	Rendered bool `json:"rendered"`
	// ConfigVersion is the format's: 1, 2, 3 or 4.
	ConfigVersion int `json:"configVersion"`
	// Plugin is the key of the plugin that has the handlers.
	Plugin string `json:"plugin"`
	// Files are all files that count, in the order in which containerd reads
	// them: the main file first, imports behind it.
	Files []ConfigFile `json:"files"`
	// Handlers are the runtimes, by name.
	Handlers []Handler `json:"handlers"`
	// Plugins are the sections of all plugins, merged.
	Plugins map[string]any `json:"-"`
}

// ConfigFile is one file of containerd's configuration.
type ConfigFile struct {
	Path string `json:"path"`
	// Imports are as they are written in the file.
	Imports []string `json:"imports,omitempty"`
	// Version as it is written; 0 when it is not.
	Version int `json:"version"`
	plugins map[string]any
}

// Keys of the plugin that has the handlers, by the configuration's version.
const (
	pluginV1 = "cri"
	pluginV2 = "io.containerd.grpc.v1.cri"
	pluginV3 = "io.containerd.cri.v1.runtime"
)

// Where the main file may be. The later ones belong to distributions that bring
// a containerd of their own.
var configPaths = []struct {
	path     string
	rendered bool
}{
	{"/etc/containerd/config.toml", false},
	{"/var/lib/rancher/k3s/agent/etc/containerd/config.toml", true},
	{"/var/lib/rancher/rke2/agent/etc/containerd/config.toml", true},
	{"/etc/k0s/containerd.toml", false},
}

// findContainerd reads the configuration at config; empty: where it usually is.
func findContainerd(t *Tree, config string) (*Containerd, error) {
	c := &Containerd{Config: config}
	if err := c.findConfig(t); err != nil {
		return nil, err
	}
	c.findBinary(t)
	if err := c.load(t); err != nil {
		return nil, err
	}
	c.merge()
	c.findHandlers(t)
	return c, nil
}

func (c *Containerd) findConfig(t *Tree) error {
	var tried []string
	for _, candidate := range configPaths {
		if c.Config != "" && c.Config != candidate.path {
			continue
		}
		found, err := t.Exists(candidate.path)
		if err != nil {
			return fmt.Errorf("looking for containerd's configuration: %w", err)
		}
		if found {
			c.Config, c.Rendered = candidate.path, candidate.rendered
			return nil
		}
		tried = append(tried, candidate.path)
	}
	if c.Config != "" {
		return nil
	}
	return fmt.Errorf("%w: no configuration at %s; make one with 'containerd config default', or name it with --containerd-config", ErrNoContainerd, strings.Join(tried, ", "))
}

// load reads the main file and what it imports, and what that imports, in the
// order of containerd's LoadConfig (cmd/containerd/server/config of 2.x,
// services/server/config of 1.x, which agree on it).
func (c *Containerd) load(t *Tree) error {
	loaded := make(map[string]bool)
	for pending := []string{c.Config}; len(pending) > 0; pending = pending[1:] {
		name := pending[0]
		if loaded[name] {
			continue
		}
		loaded[name] = true
		file, err := readConfig(t, name)
		if err != nil {
			return err
		}
		c.Files = append(c.Files, file)
		imports, err := resolveImports(t, name, file.Imports)
		if err != nil {
			return err
		}
		pending = append(pending, imports...)
	}
	return nil
}

func readConfig(t *Tree, name string) (ConfigFile, error) {
	content, err := t.Read(name)
	if err != nil {
		return ConfigFile{}, fmt.Errorf("reading containerd's configuration: %w", err)
	}
	var written struct {
		Version int            `toml:"version"`
		Imports []string       `toml:"imports"`
		Plugins map[string]any `toml:"plugins"`
	}
	if err := toml.Unmarshal(content, &written); err != nil {
		return ConfigFile{}, fmt.Errorf("containerd's configuration %s cannot be read: %w; 'containerd config dump' says what is wrong with it", name, err)
	}
	return ConfigFile{Path: name, Imports: written.Imports, Version: written.Version, plugins: written.Plugins}, nil
}

// resolveImports gives the files that a file imports: relative to its folder, in
// the order of their names where there is a *.
func resolveImports(t *Tree, parent string, imports []string) ([]string, error) {
	var files []string
	for _, name := range imports {
		name = path.Clean(name)
		if !path.IsAbs(name) {
			name = path.Join(path.Dir(parent), name)
		}
		if !strings.Contains(name, "*") {
			files = append(files, name)
			continue
		}
		matches, err := t.glob(name)
		if err != nil {
			return nil, fmt.Errorf("imports %q in %s: %w", name, parent, err)
		}
		files = append(files, matches...)
	}
	return files, nil
}

// glob is filepath.Glob in the tree.
func (t *Tree) glob(pattern string) ([]string, error) {
	dirs, last := []string{path.Dir(pattern)}, path.Base(pattern)
	if strings.Contains(dirs[0], "*") {
		var err error
		if dirs, err = t.glob(dirs[0]); err != nil {
			return nil, err
		}
	}
	var found []string
	for _, dir := range dirs {
		names, err := t.List(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			matches, err := path.Match(last, name)
			if err != nil {
				return nil, err
			}
			if matches {
				found = append(found, path.Join(dir, name))
			}
		}
	}
	return found, nil
}

// merge makes one configuration of all files, as containerd does: 1.x lets the
// section of a plugin in a later file replace that of an earlier one, 2.x merges
// tables key by key. The version is that of the last file that has one.
func (c *Containerd) merge() {
	c.Plugins = make(map[string]any)
	for _, file := range c.Files {
		if file.Version != 0 {
			c.ConfigVersion = file.Version
		}
	}
	if c.ConfigVersion == 0 {
		c.ConfigVersion = 1
	}
	switch {
	case c.ConfigVersion >= 3:
		c.Major, c.Plugin = 2, pluginV3
	case c.ConfigVersion == 2:
		c.Plugin = pluginV2
	default:
		c.Plugin = pluginV1
	}
	for _, file := range c.Files {
		if c.Major == 2 {
			mergeTables(c.Plugins, file.plugins)
			continue
		}
		for name, section := range file.plugins {
			c.Plugins[name] = section
		}
	}
}

// mergeTables puts from over to: tables are merged, anything else is replaced.
// What comes from from is copied, so that neither shares a table with the other.
func mergeTables(to, from map[string]any) {
	for key, value := range from {
		table, isTable := value.(map[string]any)
		if !isTable {
			to[key] = value
			continue
		}
		under, isTable := to[key].(map[string]any)
		if !isTable {
			under = make(map[string]any, len(table))
			to[key] = under
		}
		mergeTables(under, table)
	}
}
