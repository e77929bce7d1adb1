// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package command runs the guest image's programs (cryptsetup, mkfs) in one
// way: with a context, an empty environment, bounded output, and what they
// printed in the error.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

const (
	// maxOutput is how much of a program's output is kept, in bytes: its end.
	maxOutput = 4 << 10
	// killDelay is how long a killed program may keep its pipes open.
	killDelay = 2 * time.Second
)

// Runner runs programs.
type Runner interface {
	// Run waits for the program's end. stdin may be nil. When ctx ends, the
	// program and its children are killed and the error is the context's.
	Run(ctx context.Context, stdin *os.File, program string, args ...string) error
}

// Real runs real programs.
type Real struct {
	// UdevControl is the socket by which a running udevd is known; empty means
	// /run/udev/control.
	UdevControl string
}

// Run implements Runner.
func (r Real) Run(ctx context.Context, stdin *os.File, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // from the measured configuration
	cmd.Env = r.environment()
	cmd.Dir = "/"
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	// A group of its own, so that helpers die with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = killDelay
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("running %s: %w: %s", describe(program, args), context.Cause(ctx), output.String())
	}
	if err != nil {
		return fmt.Errorf("running %s: %w: %s", describe(program, args), err, output.String())
	}
	return nil
}

// environment: nothing of ours, so that nothing changes what the programs do.
func (r Real) environment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	control := r.UdevControl
	if control == "" {
		control = "/run/udev/control"
	}
	if _, err := os.Stat(control); err != nil {
		// Kata's guest images have no udevd. libdevmapper would wait for it
		// to make the node in /dev/mapper; so it makes it itself.
		env = append(env, "DM_DISABLE_UDEV=1")
	}
	return env
}

// describe names the program and, where it has one, its action.
func describe(program string, args []string) string {
	name := filepath.Base(program)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name += " " + args[0]
	}
	return name
}

// tail keeps the end of what is written to it.
type tail struct {
	// A killed program's child may still write while the end is read.
	mu      sync.Mutex
	kept    []byte
	dropped bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxOutput; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.dropped = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(string(t.kept), "?")))
	switch {
	case text == "":
		return "it printed nothing"
	case t.dropped:
		return "…" + text
	}
	return text
}

// printable keeps what somebody's terminal would obey out of errors and logs:
// programs print what they read from a disk, which is the host's.
func printable(r rune) rune {
	switch {
	case r == '\n', unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	return '?'
}
