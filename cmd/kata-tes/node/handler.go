// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"path"
	"slices"
	"strings"
)

const (
	// RuntimeType is the name by which containerd knows our shim.
	RuntimeType = "io.containerd.kata-tes.v2"
	// ShimName is our shim's program.
	ShimName = "containerd-shim-kata-tes-v2"
	// WrapperName is our program in QEMU's place.
	WrapperName = "kata-tes-qemu"
	// KataShimName is the program of Kata's own shim, Go or Rust.
	KataShimName = "containerd-shim-kata-v2"
)

// Handler is a runtime of containerd's CRI plugin, what a RuntimeClass names.
type Handler struct {
	Name string `json:"name"`
	// File is the last file that says which runtime it is.
	File string `json:"file"`
	// RuntimeType as it is written; RuntimePath, where it is set, wins over it.
	RuntimeType string `json:"runtimeType"`
	RuntimePath string `json:"runtimePath,omitempty"`
	// Shim is the program that containerd starts; empty when there is none.
	Shim string `json:"shim"`
	// Ours says that this is our shim.
	Ours bool `json:"ours"`
	// ConfigPath as it is written in the options; empty when it is not.
	ConfigPath                   string   `json:"configPath,omitempty"`
	Snapshotter                  string   `json:"snapshotter,omitempty"`
	PodAnnotations               []string `json:"podAnnotations,omitempty"`
	ContainerAnnotations         []string `json:"containerAnnotations,omitempty"`
	PrivilegedWithoutHostDevices bool     `json:"privilegedWithoutHostDevices"`
	// Kata is the Kata configuration that applies; nil for other runtimes.
	Kata *Kata `json:"kata,omitempty"`
	// KataError says why the Kata configuration of a Kata runtime cannot be read.
	KataError error `json:"-"`
	// Table is all that the handler's table has, merged.
	Table map[string]any `json:"-"`
}

// Handler by its name, or nil.
func (c *Containerd) Handler(name string) *Handler {
	for i := range c.Handlers {
		if c.Handlers[i].Name == name {
			return &c.Handlers[i]
		}
	}
	return nil
}

// KataHandlers are the handlers whose runtime is Kata, with our shim in front or
// without.
func (c *Containerd) KataHandlers() []Handler {
	return slices.DeleteFunc(slices.Clone(c.Handlers), func(h Handler) bool { return !h.isKata() })
}

// HandlerPath is where the configuration has a handler's table.
func (c *Containerd) HandlerPath(name string) []string {
	return []string{"plugins", c.Plugin, "containerd", "runtimes", name}
}

func (c *Containerd) findHandlers(t *Tree) {
	for name, value := range runtimes(c.Plugins, c.Plugin) {
		written, isTable := value.(map[string]any)
		if !isTable {
			continue
		}
		h := Handler{Name: name, File: c.holder(name), Table: written}
		h.describe(written)
		h.Shim = h.findShim(t, c.Binary)
		h.Ours = h.RuntimeType == RuntimeType && h.RuntimePath == "" || path.Base(h.RuntimePath) == ShimName
		if h.isKata() {
			h.Kata, h.KataError = findKata(t, &h)
		}
		c.Handlers = append(c.Handlers, h)
	}
	slices.SortFunc(c.Handlers, func(a, b Handler) int { return strings.Compare(a.Name, b.Name) })
}

func runtimes(plugins map[string]any, plugin string) map[string]any {
	at := plugins
	for _, key := range []string{plugin, "containerd", "runtimes"} {
		at, _ = at[key].(map[string]any)
	}
	return at
}

// holder is the last file that names the handler's runtime. For 1.x that is the
// file whose section of the plugin counts, since later sections replace it.
func (c *Containerd) holder(name string) string {
	holder := ""
	for _, file := range c.Files {
		table, isTable := runtimes(file.plugins, c.Plugin)[name].(map[string]any)
		if !isTable {
			continue
		}
		if _, named := table["runtime_type"]; named || holder == "" {
			holder = file.Path
		}
	}
	return holder
}

func (h *Handler) describe(table map[string]any) {
	h.RuntimeType = text(table["runtime_type"])
	h.RuntimePath = text(table["runtime_path"])
	h.Snapshotter = text(table["snapshotter"])
	h.PodAnnotations = texts(table["pod_annotations"])
	h.ContainerAnnotations = texts(table["container_annotations"])
	h.PrivilegedWithoutHostDevices, _ = table["privileged_without_host_devices"].(bool)
	if options, isTable := table["options"].(map[string]any); isTable {
		h.ConfigPath = text(options["ConfigPath"])
	}
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func texts(value any) []string {
	list, _ := value.([]any)
	var all []string
	for _, element := range list {
		all = append(all, text(element))
	}
	return all
}

// findShim resolves the shim as containerd does (resolveRuntimePath): a path as
// it is, a name like io.containerd.kata.v2 in PATH and beside containerd.
func (h *Handler) findShim(t *Tree, containerd string) string {
	if h.RuntimePath != "" {
		return t.first(h.RuntimePath)
	}
	if path.IsAbs(h.RuntimeType) {
		return t.first(h.RuntimeType)
	}
	parts := strings.Split(h.RuntimeType, ".")
	if len(parts) < 2 {
		return ""
	}
	name := "containerd-shim-" + strings.Join(parts[len(parts)-2:], "-")
	dirs := programDirs
	if containerd != "" {
		dirs = append(slices.Clone(programDirs), path.Dir(containerd))
	}
	return t.first(inDirs(name, dirs)...)
}

func (h *Handler) isKata() bool {
	if h.Ours {
		return true
	}
	if h.RuntimePath != "" {
		return path.Base(h.RuntimePath) == KataShimName
	}
	name := path.Base(h.RuntimeType)
	return name == KataShimName || strings.HasPrefix(name, "io.containerd.kata")
}
