// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/pelletier/go-toml/v2"
)

// block is our part of /etc/kata-tes/config.toml, the rest of which is the
// operator's.
var block = journal.Block{
	Begin: "# kata-tes install: from here to the next such line written by the tool.",
	End:   "# kata-tes install: end",
}

const newConfig = "# What the shim and kata-tes-qemu do on this node. All keys, with what is built\n" +
	"# in, are in docs/install.md and in configs/kata-tes/config.toml.\n"

// written is what counts here of an operator's file.
type written struct {
	Defaults map[string]any   `toml:"defaults"`
	Runtimes []writtenRuntime `toml:"runtime"`
}

type writtenRuntime struct {
	ConfigPath string `toml:"config_path"`
}

// addConfig names, for each chosen handler, Kata's own shim and the real QEMU:
// what stood in containerd's and Kata's configuration before ours took its place.
// What the operator has written comes first.
func (p *plan) addConfig() error {
	content, err := p.before.Tree.Read(config.DefaultPath)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return err
	}
	if isNew {
		content = []byte(newConfig)
	}
	if _, err := config.Parse(config.DefaultPath, content); err != nil {
		return fmt.Errorf("the file is as it was before: %w", err)
	}
	var has written
	if err := toml.Unmarshal(content, &has); err != nil {
		return err
	}
	var edits []journal.Edit
	head := ""
	if hypervisor := p.commonQEMU(); hypervisor != "" && has.Defaults["hypervisor"] == nil {
		if has.Defaults == nil {
			head = "[defaults]\nhypervisor = " + tomledit.Quote(hypervisor) + "\n"
		} else {
			edited, change, err := tomledit.Set(content, []string{"defaults", "hypervisor"}, tomledit.Quote(hypervisor), "")
			if err != nil {
				return fmt.Errorf("%s: %w", config.DefaultPath, err)
			}
			content, edits = edited, append(edits, journal.Edit{Value: change})
		}
	}
	if lines := head + p.runtimeSections(has); lines != "" {
		content = block.Append(content, lines)
		edits = append(edits, journal.Edit{Block: &block})
	}
	if len(edits) == 0 {
		return nil
	}
	if _, err := config.Parse(config.DefaultPath, content); err != nil {
		return fmt.Errorf("what would be written is wrong: %w", err)
	}
	return p.put(journal.File{Path: config.DefaultPath, Content: content, Mode: 0o644, Edits: edits})
}

// commonQEMU is the QEMU of all handlers whose Kata configuration stays where it
// is; the wrapper runs it for sandboxes that our shim did not start.
func (p *plan) commonQEMU() string {
	for _, c := range p.chosen {
		if !c.own {
			return c.handler.Kata.RealQEMU
		}
	}
	return ""
}

func (p *plan) runtimeSections(has written) string {
	var b strings.Builder
	done := make(map[string]bool)
	for _, c := range p.chosen {
		configPath := path.Clean(c.configPath)
		operators := slices.ContainsFunc(has.Runtimes, func(r writtenRuntime) bool { return path.Clean(r.ConfigPath) == configPath })
		if operators || done[configPath] {
			continue
		}
		done[configPath] = true
		fmt.Fprintf(&b, "[[runtime]]\nconfig_path = %s\n", tomledit.Quote(configPath))
		fmt.Fprintf(&b, "inner_shim = %s\n", tomledit.Quote(c.handler.Kata.Shim))
		fmt.Fprintf(&b, "hypervisor = %s\n", tomledit.Quote(c.handler.Kata.RealQEMU))
	}
	return b.String()
}
