// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
)

const (
	// containerdDropIn sorts behind kata-deploy's own drop-ins in the same
	// folder (kata-deploy.toml, zz-kata-deploy-user.toml): the last one wins.
	containerdDropIn = "zz-kata-tes.toml"
	// importedFile is for a node that has no folder of drop-ins.
	importedFile = "/etc/kata-tes/containerd.toml"
)

// addContainerd lets containerd start our shim for the chosen handlers: in the
// first of the possible places with which the merged configuration says so.
func (p *plan) addContainerd() error {
	var problems []error
	for _, place := range p.places() {
		files, err := place()
		if err == nil {
			err = p.check(files)
		}
		if err == nil {
			for _, f := range files {
				p.containerd = append(p.containerd, f.Path)
			}
			p.files = append(p.files, files...)
			return nil
		}
		problems = append(problems, err)
	}
	return fmt.Errorf("containerd's configuration cannot be changed so that it starts our shim, and nothing has been changed: %w", errors.Join(problems...))
}

// places are ways to write it, the best first. In 1.x a later file replaces the
// whole section of the plugin, so that there is only one.
func (p *plan) places() []func() ([]journal.File, error) {
	c := p.before.Containerd
	var places []func() ([]journal.File, error)
	if c.Major == 2 && c.ConfigVersion >= 2 {
		for _, folder := range dropInFolders(c) {
			places = append(places, func() ([]journal.File, error) { return p.inFolder(folder) })
		}
		if !c.Rendered {
			places = append(places, p.imported)
		}
	}
	return append(places, p.edited)
}

// dropInFolders are those of which the main file imports whatever is there.
func dropInFolders(c *node.Containerd) []string {
	var folders []string
	for _, pattern := range c.Files[0].Imports {
		if !path.IsAbs(pattern) {
			pattern = path.Join(path.Dir(c.Config), pattern)
		}
		dir, last := path.Split(path.Clean(pattern))
		matches, err := path.Match(last, containerdDropIn)
		if err == nil && matches && strings.Contains(last, "*") && !strings.Contains(dir, "*") {
			folders = append(folders, path.Clean(dir))
		}
	}
	return folders
}

func (p *plan) inFolder(folder string) ([]journal.File, error) {
	file, err := p.resolved(journal.File{Path: path.Join(folder, containerdDropIn), Content: []byte(p.handlers()), Mode: 0o644})
	return []journal.File{file}, err
}

// imported has a file of ours named by the main file, behind all others.
func (p *plan) imported() ([]journal.File, error) {
	file, err := p.resolved(journal.File{Path: importedFile, Content: []byte(p.handlers()), Mode: 0o644})
	if err != nil {
		return nil, err
	}
	main := p.before.Containerd.Config
	content, err := p.before.Tree.Read(main)
	if err != nil {
		return nil, err
	}
	content, change, err := tomledit.Append(content, []string{"imports"}, importedFile, "version")
	if err != nil || change == nil {
		return []journal.File{file}, err
	}
	edited, err := p.resolved(journal.File{Path: main, Content: content, Mode: 0o644, Edits: []journal.Edit{{Value: change}}})
	return []journal.File{file, edited}, err
}

func (p *plan) resolved(file journal.File) (journal.File, error) {
	var err error
	file.Path, err = p.before.Tree.Resolve(file.Path)
	return file, err
}

// handlers is our drop-in: what is not said stays as the handler has it.
func (p *plan) handlers() string {
	c := p.before.Containerd
	var b strings.Builder
	b.WriteString("# Written by 'kata-tes install', removed by 'kata-tes uninstall'.\n")
	b.WriteString("# Whatever else the handlers have stands where it stood before.\n")
	fmt.Fprintf(&b, "version = %d\n", c.ConfigVersion)
	for _, h := range p.chosen {
		table := tablePath(c.HandlerPath(h.handler.Name))
		fmt.Fprintf(&b, "\n[%s]\n  runtime_type = %s\n  runtime_path = %s\n", table, tomledit.Quote(node.RuntimeType), tomledit.Quote(p.programPath(node.ShimName)))
		if h.own {
			fmt.Fprintf(&b, "  [%s.options]\n    ConfigPath = %s\n", table, tomledit.Quote(h.configPath))
		}
	}
	return b.String()
}

func tablePath(parts []string) string {
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = tomledit.Key(part)
	}
	return strings.Join(quoted, ".")
}

// edited changes the handlers where they stand.
func (p *plan) edited() ([]journal.File, error) {
	c := p.before.Containerd
	var files []journal.File
	for _, h := range p.chosen {
		if h.handler.File == c.Config && c.Rendered {
			return nil, fmt.Errorf("the handler %s is in %s, which is written anew at each start; move it into a file that the configuration imports", h.handler.Name, c.Config)
		}
		name, err := p.before.Tree.Resolve(h.handler.File)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(files, func(f journal.File) bool { return f.Path == name })
		if i < 0 {
			content, err := p.before.Tree.Read(name)
			if err != nil {
				return nil, err
			}
			i = len(files)
			files = append(files, journal.File{Path: name, Content: content, Mode: 0o644})
		}
		if err := p.editHandler(&files[i], h); err != nil {
			return nil, fmt.Errorf("editing the handler %s in %s: %w", h.handler.Name, name, err)
		}
	}
	return files, nil
}

func (p *plan) editHandler(file *journal.File, h choice) error {
	values := []struct {
		path  []string
		value string
	}{
		{[]string{"runtime_type"}, node.RuntimeType},
		{[]string{"runtime_path"}, p.programPath(node.ShimName)},
	}
	if h.own {
		values = append(values, struct {
			path  []string
			value string
		}{[]string{"options", "ConfigPath"}, h.configPath})
	}
	for _, v := range values {
		where := append(p.before.Containerd.HandlerPath(h.handler.Name), v.path...)
		content, change, err := tomledit.Set(file.Content, where, tomledit.Quote(v.value), "runtime_type")
		if err != nil {
			return err
		}
		if change != nil {
			file.Content, file.Edits = content, append(file.Edits, journal.Edit{Value: change})
		}
	}
	return nil
}
