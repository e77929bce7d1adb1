// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kata-tes/kata-tes/functional-tests/boot"
	"github.com/kata-tes/kata-tes/functional-tests/node"
	"golang.org/x/crypto/ssh"
)

// freshNodes is how often a lost node is replaced.
const freshNodes = 2

func (j *job) runWithFreshNodes(ctx context.Context) (int, error) {
	for attempt := 0; ; attempt++ {
		status, err := j.runOnce(ctx)
		if err == nil || attempt == freshNodes || !errors.Is(err, node.ErrInfrastructure) || ctx.Err() != nil {
			return status, err
		}
		fmt.Fprintf(os.Stderr, "node-exec: INFRASTRUCTURE: %v\nnode-exec: starting again from the beginning on a fresh node (%d of %d)\n", err, attempt+1, freshNodes)
	}
}

// runOnce boots a node, runs the job, keeps logs where it failed, and ends the
// node on every way out.
func (j *job) runOnce(ctx context.Context) (status int, err error) {
	defer func() {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	c, err := j.newCluster()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	n, err := c.boot(ctx, j.config)
	if err != nil {
		return 0, err
	}
	defer func() {
		if status != 0 || err != nil || os.Getenv("NODE_KEEP_LOGS") == "1" {
			j.keepLogs(n, c)
		}
		err = errors.Join(err, n.Close())
	}()
	for number := 1; ; number++ {
		status, err := j.runIn(ctx, n, number)
		if err != nil || status != boot.PowerLoss || number >= j.boots {
			return status, err
		}
		again, err := c.reboot(ctx, n)
		if again != nil {
			n = again
		}
		if err != nil {
			return 0, err
		}
	}
}

// runIn runs the job in the node's boot of that number.
func (j *job) runIn(ctx context.Context, n *node.Node, number int) (int, error) {
	line := fmt.Sprintf("export %s=%d; %s", boot.Variable, number, j.line)
	command := node.Command{Line: line, Stdout: os.Stdout, Stderr: os.Stderr}
	signals, stop := passedOn()
	defer stop()
	command.Signals = signals
	if j.terminal {
		restore, err := rawTerminal(&command)
		if err != nil {
			return 0, err
		}
		defer restore()
	}
	// Input only where somebody gives it: `go test` gives none.
	if j.terminal || isPipe(os.Stdin) {
		command.Stdin = os.Stdin
	}
	return n.Run(ctx, command)
}

// passedOn gives the signals that are meant for what runs in the node: SIGQUIT
// is how `go test` asks a test for its goroutines when time is over.
func passedOn() (<-chan ssh.Signal, func()) {
	received := make(chan os.Signal, 1)
	passed := make(chan ssh.Signal, 1)
	signal.Notify(received, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-received:
				select {
				case passed <- ssh.SIGQUIT:
				default:
				}
			case <-done:
				return
			}
		}
	}()
	return passed, func() {
		signal.Stop(received)
		close(done)
	}
}
