// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// handlerName is what Kubernetes takes for a RuntimeClass' handler (a DNS label),
// and capitals and dots, which containerd takes too. It is one path component.
var handlerName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// choose looks the handlers up and refuses those that cannot have the runtime.
func (p *plan) choose() error {
	if len(p.options.Handlers) == 0 {
		return fmt.Errorf("%w Name them with --runtime; this node has %s", ErrWhich, p.available())
	}
	for _, name := range p.options.Handlers {
		if p.isChosen(name) {
			continue
		}
		h := p.before.Containerd.Handler(name)
		if h == nil {
			return fmt.Errorf("%w There is no %q in containerd's configuration %s; this node has %s", ErrWhich, name, p.before.Containerd.Config, p.available())
		}
		if err := p.fit(h); err != nil {
			return err
		}
		p.chosen = append(p.chosen, choice{handler: *h, configPath: h.ConfigPath})
	}
	slices.SortFunc(p.chosen, func(a, b choice) int { return strings.Compare(a.handler.Name, b.handler.Name) })
	return nil
}

func (p *plan) available() string {
	var fit []string
	for _, h := range p.before.Containerd.KataHandlers() {
		if p.fit(&h) == nil {
			fit = append(fit, h.Name)
		}
	}
	if len(fit) == 0 {
		return "no handler of Kata Containers with QEMU; install Kata Containers first"
	}
	return strings.Join(fit, ", ")
}

// fit says why a handler cannot have the runtime.
func (p *plan) fit(h *node.Handler) error {
	unfit := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s %w", ErrUnfit, h.Name, fmt.Errorf(format, args...))
	}
	switch {
	case !handlerName.MatchString(h.Name):
		return unfit("has a name that is no name of a RuntimeClass' handler")
	case h.KataError != nil:
		return unfit("has no usable Kata configuration: %w", h.KataError)
	case h.Kata == nil:
		return unfit("is no runtime of Kata Containers (its type is %s); choose another one", h.RuntimeType)
	case !slices.Contains(h.Kata.Hypervisors, "qemu"):
		return unfit("uses %s, and only QEMU can have a disk added in the way that is needed; choose a handler with QEMU", strings.Join(h.Kata.Hypervisors, ", "))
	case h.Kata.RealQEMU == "":
		return unfit("has a Kata configuration that names no QEMU ([hypervisor.qemu] path in %s); name it there", h.Kata.Path)
	case !path.IsAbs(h.Kata.RealQEMU):
		return unfit("has a Kata configuration with the relative path %q for QEMU; write the whole path", h.Kata.RealQEMU)
	case h.Kata.Shim == "":
		return unfit("has no shim of Kata's that can be run (runtime_path is %q, runtime_type %q); install Kata Containers for it", h.RuntimePath, h.RuntimeType)
	}
	if err := p.before.Tree.Executable(h.Kata.RealQEMU); err != nil {
		return unfit("names a QEMU that cannot be run: %w; install it or choose another handler", err)
	}
	return nil
}

// decide gives a Kata configuration of their own to handlers that do not have
// their folder to themselves.
//
// It does the same where the QEMU is not the one of the others: between the
// drop-in and containerd's restart, Kata's own shim starts pods with the wrapper,
// which then knows one QEMU only, that of [defaults].
func (p *plan) decide() error {
	common := ""
	for i := range p.chosen {
		c := &p.chosen[i]
		shared, err := p.shared(c.handler)
		if err != nil {
			return err
		}
		if !shared && common == "" {
			common = c.handler.Kata.RealQEMU
		}
		if !shared && c.handler.Kata.RealQEMU == common {
			continue
		}
		c.own = true
		c.configPath = ownPath(c.handler)
		reason := "its QEMU is not that of the other handlers"
		if shared {
			reason = "the folder of the original serves others too"
		}
		p.warnings = append(p.warnings, fmt.Sprintf("%s gets a copy of its Kata configuration, %s, because %s; install again when %s or its drop-ins change",
			c.handler.Name, c.configPath, reason, c.handler.Kata.Path))
	}
	return nil
}

// ownPath is where the copy of a handler's Kata configuration goes. The shims of
// the Rust runtime are told by the folder's name.
func ownPath(h node.Handler) string {
	folder := "/etc/kata-tes/kata"
	if h.Kata.Rust {
		folder = "/etc/kata-tes/kata/runtime-rs"
	}
	return path.Join(folder, h.Name, path.Base(h.Kata.Path))
}

// shared says whether a drop-in in the handler's folder would reach others: other
// configurations that are there, and handlers that are not chosen. Without a
// ConfigPath it is the configuration of all that name none.
func (p *plan) shared(h node.Handler) (bool, error) {
	if h.ConfigPath == "" {
		return true, nil
	}
	for _, other := range p.before.Containerd.KataHandlers() {
		if other.Kata != nil && other.Kata.Folder() == h.Kata.Folder() && other.Name != h.Name && !slices.Contains(p.options.Handlers, other.Name) {
			return true, nil
		}
	}
	names, err := p.before.Tree.List(h.Kata.Folder())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return path.Ext(name) == ".toml" && name != path.Base(h.Kata.Path)
	}), nil
}
