// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// errCheck says that the node would not become what was wanted.
var errCheck = errors.New("the merged configuration would not be what was asked for")

// check looks at the node with all files in place, containerd's among them, and
// says what is not as it should be: a chosen handler, or anything else that would
// change with it.
func (p *plan) check(containerd []journal.File) error {
	tree := p.before.Tree.With(overlay(p.files)).With(overlay(containerd))
	after, err := node.Discover(tree, node.Options{ContainerdConfig: p.before.Containerd.Config})
	if err != nil {
		return err
	}
	if err := p.checkContainerd(after.Containerd); err != nil {
		return fmt.Errorf("%w: with %s: %w", errCheck, strings.Join(names(containerd), " and "), err)
	}
	for _, h := range p.before.Containerd.KataHandlers() {
		if err := p.checkKata(h, after.Containerd.Handler(h.Name)); err != nil {
			return fmt.Errorf("%w: %w", errCheck, err)
		}
	}
	return nil
}

func names(files []journal.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Path)
	}
	return all
}

// checkContainerd compares all plugins' merged sections with those of before, in
// which the chosen handlers are changed as they should be.
func (p *plan) checkContainerd(after *node.Containerd) error {
	before := p.before.Containerd
	if after.ConfigVersion != before.ConfigVersion {
		return fmt.Errorf("the configuration's version goes from %d to %d", before.ConfigVersion, after.ConfigVersion)
	}
	want := clone(before.Plugins)
	for _, c := range p.chosen {
		handler := at(want, before.HandlerPath(c.handler.Name)[1:])
		handler["runtime_type"] = node.RuntimeType
		handler["runtime_path"] = p.programPath(node.ShimName)
		if c.own {
			options, isTable := handler["options"].(map[string]any)
			if !isTable {
				options = make(map[string]any)
				handler["options"] = options
			}
			options["ConfigPath"] = c.configPath
		}
	}
	if where := difference(want, after.Plugins); where != "" {
		return fmt.Errorf("plugins%s is not as wanted", where)
	}
	return nil
}

func at(table map[string]any, path []string) map[string]any {
	for _, part := range path {
		table, _ = table[part].(map[string]any)
	}
	return table
}

func clone(table map[string]any) map[string]any {
	table = maps.Clone(table)
	for key, value := range table {
		if under, isTable := value.(map[string]any); isTable {
			table[key] = clone(under)
		}
	}
	return table
}

// difference is where two tables differ first; empty where they do not.
func difference(want, have map[string]any) string {
	for key, value := range want {
		under, isTable := value.(map[string]any)
		other, isOtherTable := have[key].(map[string]any)
		if isTable && isOtherTable {
			if where := difference(under, other); where != "" {
				return "." + key + where
			}
			continue
		}
		if !reflect.DeepEqual(value, have[key]) {
			return "." + key
		}
	}
	for key := range have {
		if _, wanted := want[key]; !wanted {
			return "." + key
		}
	}
	return ""
}

// checkKata compares a handler's merged Kata configuration with that of before:
// only a chosen handler's QEMU may be another one.
func (p *plan) checkKata(before node.Handler, after *node.Handler) error {
	if after == nil {
		return fmt.Errorf("the handler %s is gone", before.Name)
	}
	if before.Kata == nil {
		return nil
	}
	if after.KataError != nil {
		return fmt.Errorf("the handler %s: %w", before.Name, after.KataError)
	}
	want := clone(before.Kata.Merged)
	if p.isChosen(before.Name) {
		wrapper := p.programPath(node.WrapperName)
		if after.Kata.QEMUPath != wrapper {
			return fmt.Errorf("for the handler %s Kata would start %s: %s sets it behind our drop-in; rename that file so that it sorts before %s",
				before.Name, after.Kata.QEMUPath, after.Kata.QEMUPathFile, DropIn)
		}
		qemu := at(want, []string{"hypervisor", "qemu"})
		qemu["path"], qemu["valid_hypervisor_paths"] = wrapper, []any{wrapper}
	}
	if where := difference(want, after.Kata.Merged); where != "" {
		return fmt.Errorf("for the handler %s Kata's configuration would change at %s (%s)", before.Name, strings.TrimPrefix(where, "."), path.Base(after.Kata.Path))
	}
	return nil
}
