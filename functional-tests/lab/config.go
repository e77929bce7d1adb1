// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"text/template"
)

// Handlers of the generated configuration.
const (
	// Tes is the product's own: our shim in front of Kata, virtio-scsi.
	Tes = "kata-qemu-tdx"
	// TesBlk is the same with virtio-blk.
	TesBlk = "kata-qemu-tdx-blk"
	// TesIntegrity boots a guest with profile integrity.
	TesIntegrity = "kata-qemu-tdx-integrity"
	// TesNoAgent boots a guest without our agent extension.
	TesNoAgent = "kata-qemu-tdx-no-agent"
	// TesNoMonitor is our shim with a Kata that lacks our drop-in.
	TesNoMonitor = "kata-qemu-tdx-no-monitor"
	// Kata is stock Kata without us.
	Kata = "kata"
	// Runc is stock runc.
	Runc = "runc"
	// RuncTes is our shim in front of runc's.
	RuncTes = "runc-tes"
)

// KataConfigs is where the node has Kata's configurations, one folder for each
// variant; the product's own is directly in it.
const KataConfigs = "/opt/kata/share/defaults/kata-containers"

const kataConfigName = "configuration-qemu-tdx.toml"

// handler is one of the generated configuration. That of the product is in the
// drop-in that a user installs.
type handler struct {
	Name, Type, ConfigPath string
}

func handlers() []handler {
	const ours = "io.containerd.kata-tes.v2"
	config := func(variant string) string { return filepath.Join(KataConfigs, variant, kataConfigName) }
	return []handler{
		{Runc, "io.containerd.runc.v2", ""},
		{RuncTes, ours, ""},
		{Kata, "io.containerd.kata.v2", config("stock")},
		{TesBlk, ours, config("blk")},
		{TesIntegrity, ours, config("integrity")},
		{TesNoAgent, ours, config("no-agent")},
		{TesNoMonitor, ours, config("stock")},
	}
}

//go:embed templates
var templates embed.FS

func render(name string, data any) ([]byte, error) {
	parsed, err := template.ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("filling in %s: %w", name, err)
	}
	return out.Bytes(), nil
}

var versionLine = regexp.MustCompile(`(?m)^version = \d+\n`)

// config is this version's main file. imports is for containerd 2.x.
func (v Version) config(imports string, handlers []handler) ([]byte, error) {
	return render(v.template, map[string]any{
		"Root": v.root, "State": v.state, "Socket": v.Socket(), "DropIn": imports, "Handlers": handlers,
	})
}

// writeConfig writes containerd's configuration. The product's drop-in is part
// of it as a user would install it: in an `imports` for containerd 2.x, in the
// file itself for 1.x, where an import replaces the whole section.
func (v Version) writeConfig(path string) error {
	config, err := v.config(v.dropIn, handlers())
	if err != nil {
		return err
	}
	if !v.imports {
		dropIn, err := os.ReadFile(v.dropIn)
		if err != nil {
			return fmt.Errorf("reading the product's drop-in: %w", err)
		}
		config = append(config, versionLine.ReplaceAll(dropIn, nil)...)
	}
	return writeFile(path, config)
}

// WriteStockConfig writes the configuration of a containerd that nobody has told
// of Kata yet. imports is for containerd 2.x.
func (v Version) WriteStockConfig(path, imports string) error {
	config, err := v.config(imports, []handler{{Runc, "io.containerd.runc.v2", ""}})
	if err != nil {
		return err
	}
	return writeFile(path, config)
}

// writeShimConfig writes our own configuration: behind our shim is Kata's for
// Kata's configurations, and runc's where there is none.
func (v Version) writeShimConfig() error {
	config, err := render("kata-tes.toml", map[string]any{
		"Runc": v.runcShim, "ConfigPaths": []string{
			filepath.Join(KataConfigs, kataConfigName),
			filepath.Join(KataConfigs, "blk", kataConfigName),
			filepath.Join(KataConfigs, "integrity", kataConfigName),
			filepath.Join(KataConfigs, "no-agent", kataConfigName),
			filepath.Join(KataConfigs, "stock", kataConfigName),
		},
	})
	if err != nil {
		return err
	}
	return writeFile("/etc/kata-tes/config.toml", config)
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
