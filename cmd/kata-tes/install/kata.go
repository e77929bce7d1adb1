// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"path"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
)

// DropIn is our drop-in's name in Kata's config.d: behind those of kata-deploy
// (10 to 30) and of its users (50-user-overrides.toml).
const DropIn = "90-kata-tes.toml"

// addKata puts the wrapper in QEMU's place.
func (p *plan) addKata() error {
	done := make(map[string]bool)
	for _, c := range p.chosen {
		folder := c.handler.Kata.DropInFolder()
		if c.own {
			folder = path.Join(path.Dir(c.configPath), "config.d")
			if err := p.copyKata(c); err != nil {
				return err
			}
		}
		// Chosen handlers may share one configuration.
		if done[folder] {
			continue
		}
		done[folder] = true
		if err := p.put(journal.File{Path: path.Join(folder, DropIn), Content: []byte(p.dropIn()), Mode: 0o644}); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) dropIn() string {
	wrapper := tomledit.Quote(p.programPath(node.WrapperName))
	return "# Written by 'kata-tes install', removed by 'kata-tes uninstall'.\n" +
		"# Kata starts QEMU through kata-tes-qemu, which adds a monitor socket on the host\n" +
		"# for sandboxes of our shim and then becomes the real QEMU.\n" +
		"[hypervisor.qemu]\n" +
		"path = " + wrapper + "\n" +
		"valid_hypervisor_paths = [" + wrapper + "]\n"
}

// copyKata gives the handler its Kata configuration in a folder of its own.
func (p *plan) copyKata(c choice) error {
	kata := c.handler.Kata
	content, err := p.before.Tree.Read(kata.Path)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("# Copied from %s by 'kata-tes install'.\n# Change that file and install again: this one is written anew.\n", kata.Path)
	if err := p.put(journal.File{Path: c.configPath, Content: append([]byte(head), content...), Mode: 0o644}); err != nil {
		return err
	}
	for _, from := range kata.DropIns {
		content, err := p.before.Tree.Read(from)
		if err != nil {
			return err
		}
		to := path.Join(path.Dir(c.configPath), "config.d", path.Base(from))
		if path.Base(from) == DropIn {
			return fmt.Errorf("%s is there already and nobody recorded it; remove it", from)
		}
		if err := p.put(journal.File{Path: to, Content: content, Mode: 0o644}); err != nil {
			return err
		}
	}
	return nil
}
