// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// Install puts the runtime on a node, for the chosen handlers and no others. On
// an error the node is as it was before the call, or the error says what is left to
// do.
func Install(ctx context.Context, o Options) (*Result, error) {
	if !path.IsAbs(o.BinDir) {
		return nil, fmt.Errorf("the folder for programs %q is not an absolute path", o.BinDir)
	}
	return onNode(ctx, o, install)
}

// direction is install or uninstall, on a node that is open and locked.
type direction func(ctx context.Context, tree *node.Tree, j *journal.Journal, o Options) (*Result, error)

// onNode opens the node and its record for as long as that takes.
func onNode(ctx context.Context, o Options, do direction) (result *Result, err error) {
	tree, err := node.Open(o.Root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	j, err := journal.Open(tree)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return do(ctx, tree, j, o)
}

func install(ctx context.Context, tree *node.Tree, j *journal.Journal, o Options) (*Result, error) {
	var earlier info
	if _, err := j.Info(&earlier); err != nil {
		return nil, err
	}
	if len(o.Handlers) == 0 {
		o.Handlers = earlier.Handlers
	}
	before, err := lookBack(tree, j, o)
	if err != nil {
		return nil, err
	}
	p, err := makePlan(before, o)
	if err != nil {
		return nil, err
	}
	changes, err := j.Changes(p.files)
	if err != nil {
		return nil, err
	}
	now := info{
		Version: o.Version, Handlers: p.chosenNames(), ContainerdConfig: before.Containerd.Config, ContainerdFiles: p.containerd,
		RestartPending: earlier.RestartPending || touches(changes, slices.Concat(p.containerd, earlier.ContainerdFiles)),
	}
	result := &Result{DryRun: o.DryRun, Handlers: p.describe(), Files: describe(changes), Restart: NotNeeded, Warnings: p.warnings}
	if now.RestartPending {
		result.Restart = Needed
	}
	if o.DryRun {
		return result, nil
	}
	if err := o.checkRestart(tree, now); err != nil {
		return nil, err
	}
	t, err := j.Begin(p.files, now)
	if err != nil {
		return nil, err
	}
	if o.Restart != nil && now.RestartPending {
		if err := o.Restart.Restart(ctx, tree, now.ContainerdConfig); err != nil {
			return nil, takeBack(ctx, t, tree, o, now, err)
		}
		now.RestartPending, result.Restart = false, Restarted
	}
	if err := t.Commit(now); err != nil {
		return nil, fmt.Errorf("all files are in place, but the record of them could not be closed; run the command again: %w", err)
	}
	return result, nil
}

// checkRestart refuses what could not be finished, before it is begun.
func (o Options) checkRestart(tree *node.Tree, now info) error {
	if o.Restart == nil || !now.RestartPending {
		return nil
	}
	return o.Restart.Check(tree, now.ContainerdConfig)
}

// lookBack looks at the node as it was before anything of ours was there.
func lookBack(tree *node.Tree, j *journal.Journal, o Options) (*node.Node, error) {
	files, conflicts, err := j.Before()
	if err != nil {
		return nil, err
	}
	// In a file of somebody else's only our own lines matter: the rest is kept.
	conflicts = slices.DeleteFunc(conflicts, func(c journal.Conflict) bool { return !c.Ours })
	if len(conflicts) > 0 && !o.Force {
		return nil, fmt.Errorf("%w: %s; nothing has been changed; --force puts ours in their place", ErrChanged, listed(conflicts))
	}
	return node.Discover(tree.With(files), node.Options{ContainerdConfig: o.ContainerdConfig})
}

func listed(conflicts []journal.Conflict) string {
	var all []string
	for _, c := range conflicts {
		all = append(all, c.Path)
	}
	return strings.Join(all, ", ")
}

// takeBack is for a containerd that does not start with what we have put in
// place: better the old one than none.
func takeBack(ctx context.Context, t *journal.Transaction, tree *node.Tree, o Options, now info, reason error) error {
	reason = fmt.Errorf("%w; see its log ('journalctl -u containerd')", reason)
	if err := t.Rollback(); err != nil {
		return errors.Join(reason, err)
	}
	// Not with ctx, which may be what has ended the restart.
	if err := o.Restart.Restart(context.WithoutCancel(ctx), tree, now.ContainerdConfig); err != nil {
		return errors.Join(reason, fmt.Errorf("all files are as they were before, and still: %w", err))
	}
	return fmt.Errorf("%w; all files are as they were before, and containerd runs with them", reason)
}

func touches(changes []journal.Change, files []string) bool {
	return slices.ContainsFunc(changes, func(c journal.Change) bool { return slices.Contains(files, c.Path) })
}

func (p *plan) chosenNames() []string {
	var all []string
	for _, c := range p.chosen {
		all = append(all, c.handler.Name)
	}
	return all
}

func (p *plan) describe() []HandlerFor {
	var all []HandlerFor
	for _, c := range p.chosen {
		all = append(all, HandlerFor{Name: c.handler.Name, ConfigPath: c.configPath, Shim: c.handler.Kata.Shim, QEMU: c.handler.Kata.RealQEMU})
	}
	return all
}
