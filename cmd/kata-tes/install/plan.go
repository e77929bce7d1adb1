// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// plan is what the node is to have, as seen from what it had before.
type plan struct {
	options Options
	before  *node.Node
	chosen  []choice
	// files in the order in which they go in place: what is named by others
	// before those.
	files []journal.File
	// containerd are the paths of those files that containerd reads.
	containerd []string
	warnings   []string
}

// choice is a handler with what is decided about it.
type choice struct {
	handler node.Handler
	// configPath is what containerd will hand to the shim.
	configPath string
	// own says that the handler gets a Kata configuration of its own.
	own bool
}

func makePlan(before *node.Node, o Options) (*plan, error) {
	p := &plan{options: o, before: before}
	for _, step := range []func() error{p.choose, p.decide, p.addPrograms, p.addConfig, p.addKata, p.addContainerd} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// put adds a file. What its path leads to is what is written.
func (p *plan) put(file journal.File) error {
	resolved, err := p.before.Tree.Resolve(file.Path)
	if err != nil {
		return err
	}
	file.Path = resolved
	p.files = append(p.files, file)
	return nil
}

// overlay is the files for Tree.With.
func overlay(files []journal.File) map[string][]byte {
	changed := make(map[string][]byte, len(files))
	for _, f := range files {
		if f.Content == nil {
			f.Content = []byte{}
		}
		changed[f.Path] = f.Content
	}
	return changed
}

// programPath is where one of our programs will be.
func (p *plan) programPath(name string) string { return path.Join(p.options.BinDir, name) }

func (p *plan) addPrograms() error {
	inPlace, err := p.options.inPlace()
	if err != nil {
		return fmt.Errorf("looking for our programs: %w; name their folder with --from", err)
	}
	for _, name := range programs {
		content, err := readProgram(filepath.Join(p.options.From, name))
		if err != nil {
			return err
		}
		if inPlace {
			continue
		}
		if err := p.put(journal.File{Path: p.programPath(name), Content: content, Mode: 0o755}); err != nil {
			return err
		}
	}
	return nil
}

func readProgram(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; name the folder that has it with --from", name)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 || info.Size() == 0 {
		return nil, fmt.Errorf("%s is no program: mode %s, %d bytes; name the right folder with --from", name, info.Mode(), info.Size())
	}
	return os.ReadFile(name) //nolint:gosec // the operator's own choice
}

// isChosen says whether a handler is among the chosen ones.
func (p *plan) isChosen(name string) bool {
	return slices.ContainsFunc(p.chosen, func(c choice) bool { return c.handler.Name == name })
}
