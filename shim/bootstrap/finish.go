// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// finishing is the action of a process of our own that ends the virtual machine
// when a `delete` has ended, however it did. containerd kills a `delete` after
// five seconds by default, which Kata's needs for itself on a slow node; a
// machine that stays then holds the pod's volume for ever.
const finishing = "finish"

// finisher is that process as its `delete` sees it.
type finisher struct {
	cmd *exec.Cmd
	// end is closed when we end, also when we are killed.
	end    io.Closer
	stderr bytes.Buffer
}

// atTheEnd sees to it that the sandbox's machine ends with this process, and gives
// what ends it in good order.
func atTheEnd(ctx context.Context, c call) func() error {
	f, err := startFinisher(c)
	if err != nil {
		return func() error { return errors.Join(err, killMachine(ctx, c.id)) }
	}
	return f.finish
}

func startFinisher(c call) (*finisher, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for our own executable: %w", err)
	}
	end, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	f := &finisher{end: w}
	// No CommandContext: it outlives us.
	f.cmd = exec.Command(self, "-namespace", c.namespace, "-id", c.id, finishing) //nolint:gosec // ourselves
	f.cmd.Dir = "/"
	f.cmd.Stdin, f.cmd.Stderr = end, &f.stderr
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := f.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("executing %s: %w", self, err), end.Close(), w.Close())
	}
	// Ours is a duplicate; that it can't be closed changes nothing.
	_ = end.Close()
	return f, nil
}

// finish has it end the machine now, and gives what went wrong.
func (f *finisher) finish() error {
	err := f.end.Close()
	if failed := f.cmd.Wait(); failed != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", failed, strings.TrimSpace(f.stderr.String())))
	}
	return err
}

// finish is that process.
func (p Program) finish(ctx context.Context, c call) error {
	if _, err := io.Copy(io.Discard, p.Stdin); err != nil {
		return fmt.Errorf("waiting for the end of delete: %w", err)
	}
	return killMachine(ctx, c.id)
}
