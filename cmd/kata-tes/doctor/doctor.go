// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/status"
	"github.com/kata-tes/kata-tes/shim/config"
)

const (
	// limit bounds each check: a device or a file system that hangs is a finding.
	limit = 15 * time.Second
	// imageLimit is for one that reads a whole guest image.
	imageLimit = 2 * time.Minute
	// atOnce is how many checks are made at a time: a node may have hundreds of
	// sandboxes, and a check that waits for the others would seem to hang.
	atOnce = 32
)

// check is one thing to look at.
type check struct {
	subject, name string
	// look says what it found. An error says what is wrong.
	look func(ctx context.Context) (string, error)
	// remedy is what to do unless the error knows better.
	remedy string
	// limit bounds the look.
	limit time.Duration
}

// about gives the way to make checks of one subject.
func about(subject string) func(name string, look func(context.Context) (string, error), remedy string) check {
	return func(name string, look func(context.Context) (string, error), remedy string) check {
		return check{subject, name, look, remedy, limit}
	}
}

// within is the check with a limit of its own.
func (c check) within(limit time.Duration) check {
	c.limit = limit
	return c
}

// Options say what to look at.
type Options struct {
	// Root is the folder that stands for the node's /.
	Root string
	// Runtimes are the handlers to look at; none: those that run behind our shim.
	Runtimes []string
	// ContainerdConfig is containerd's main configuration file; empty: the usual.
	ContainerdConfig string
	// Version is this tool's.
	Version string
}

// doctor is one examination.
type doctor struct {
	Options
	tree *node.Tree
	// node is nil where containerd was not found, with the reason.
	node    *node.Node
	nodeErr error
	// config is nil where /etc/kata-tes/config.toml makes no sense.
	config    *config.File
	configErr error
	rows      []status.Row
	rowsErr   error
	// live is what is not in files.
	live   live
	images images
}

// Examine makes all checks. Its error is that there is no node to look at.
func Examine(ctx context.Context, o Options) (Findings, error) {
	tree, err := node.Open(o.Root)
	if err != nil {
		return nil, err
	}
	// What reads after this belongs to a check that has hung.
	defer func() { _ = tree.Close() }()
	return examine(ctx, o, tree, hostOf(o.Root)), nil
}

func examine(ctx context.Context, o Options, tree *node.Tree, live live) Findings {
	d := &doctor{Options: o, tree: tree, live: live}
	d.node, d.nodeErr = node.Discover(tree, node.Options{ContainerdConfig: o.ContainerdConfig})
	d.config, d.configErr = config.LoadBelow(o.Root)
	d.rows, d.rowsErr = status.Below(o.Root).Collect(ctx)

	checks := slices.Concat(d.nodeChecks(), d.containerdChecks())
	for _, h := range d.handlers() {
		checks = append(checks, d.handlerChecks(h)...)
	}
	checks = append(checks, d.folderChecks()...)
	for _, row := range d.rows {
		checks = append(checks, d.sandboxChecks(row)...)
	}
	return runAll(ctx, checks)
}

// runAll gives the findings in the checks' order.
func runAll(ctx context.Context, checks []check) Findings {
	findings := make(Findings, len(checks))
	var running sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, c := range checks {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			findings[i] = c.run(ctx)
		})
	}
	running.Wait()
	return findings
}

// run leaves a look that hangs to itself.
func (c check) run(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	found := make(chan Finding, 1)
	go func() { found <- c.finding(c.look(ctx)) }()
	select {
	case f := <-found:
		return f
	case <-ctx.Done():
	}
	// It may have noticed at the same moment, and know more.
	select {
	case f := <-found:
		return f
	case <-time.After(c.limit / 10):
		return c.finding("", unknownf("", "the check did not end: %v", context.Cause(ctx)))
	}
}

// handlers are those to look at.
func (d *doctor) handlers() []node.Handler {
	if d.node == nil {
		return nil
	}
	var chosen []node.Handler
	for _, h := range d.node.Containerd.Handlers {
		if slices.Contains(d.Runtimes, h.Name) || len(d.Runtimes) == 0 && h.Ours {
			chosen = append(chosen, h)
		}
	}
	return chosen
}

// kataHandlers names those that could be chosen.
func (d *doctor) kataHandlers() string {
	var names []string
	for _, h := range d.node.Containerd.KataHandlers() {
		names = append(names, h.Name)
	}
	if len(names) == 0 {
		return "no handler of this node runs Kata Containers"
	}
	return fmt.Sprintf("handlers that run Kata Containers: %s", strings.Join(names, ", "))
}
