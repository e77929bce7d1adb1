// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// maxStderr is how much of a failing inner shim's complaint is kept, in
	// bytes: containerd passes it on to a person.
	maxStderr = 8 << 10
	// pipeDelay bounds the wait for the output of a shim that has exited
	// but whose child holds the pipe. Stock shims give their child none.
	pipeDelay = 5 * time.Second
)

// runInner runs a command of the inner shim as containerd would: in the
// current folder, with our environment. understand gets its standard output;
// its complaint is an error of the command, too, because Kata's Rust shim
// fails with a status of 0.
func runInner(ctx context.Context, shim string, args []string, input []byte, understand func(stdout []byte) error) error {
	cmd := exec.CommandContext(ctx, shim, args...) //nolint:gosec // named by the operator's configuration
	// A group of its own, as containerd gives its shims one: Kata's Rust shim
	// does not leave ours by itself.
	//
	// And an end with ours: containerd kills a command that hangs, which is us,
	// and would have killed the inner shim's. What that has started already
	// does not inherit this (prctl(2), PR_SET_PDEATHSIG). The signal comes at
	// the end of the thread that started the command, so we stay on it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.WaitDelay = pipeDelay
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		// It exited with success; something else holds its output.
		err = nil
	}
	if err == nil {
		err = understand(stdout.Bytes())
	}
	if err == nil {
		return nil
	}
	action, complaint := args[len(args)-1], strings.TrimSpace(stderr.String())
	if len(complaint) > maxStderr {
		complaint = "…" + complaint[len(complaint)-maxStderr:]
	}
	if complaint != "" {
		err = fmt.Errorf("%w: %s", err, complaint)
	}
	return fmt.Errorf("%s of the inner shim %s: %w", action, shim, err)
}
