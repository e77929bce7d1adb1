// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package program runs e2fsprogs' programs for the work on guest images, with
// bounded time and output. (The guest's own runner, agent-ext/command, is made
// for a guest without udevd and gives no output to its caller.)
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
)

const (
	// limit is for one program on one image.
	limit = 10 * time.Minute
	// maxOutput is how much a program may print, in bytes. More is an error.
	maxOutput = 256 << 10
	// maxError is how much of it an error shows, in bytes: the end.
	maxError = 2 << 10
	// killDelay is how long a killed program may keep its pipes open.
	killDelay = 2 * time.Second
)

// Result is what a program that has ended left.
type Result struct {
	Out, Err string
	// Status is its exit status.
	Status int
}

// Run waits for the program's end. It works in dir; environment is added to
// the fixed one. An exit status other than 0 is no error: what it means is the
// caller's to know.
func Run(ctx context.Context, dir string, environment []string, name string, args ...string) (Result, error) {
	path, err := find(name)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took more than %s", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // one of e2fsprogs', on a copy of ours
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC0"}, environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killDelay
	var out, errs bounded
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	result := Result{Out: out.String(), Err: errs.String(), Status: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result, fmt.Errorf("running %s: %w", name, context.Cause(ctx))
	case out.over || errs.over:
		return result, fmt.Errorf("running %s: it printed more than %d KiB: %s", name, maxOutput>>10, Printable(errs.String()))
	case errors.As(err, &exit) && exit.Exited():
		return result, nil
	case err != nil:
		return result, fmt.Errorf("running %s: %w: %s", name, err, Printable(errs.String()))
	}
	return result, nil
}

// find also looks where root's programs are, which few people have in PATH.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, folder := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on this machine: install the package e2fsprogs", name)
}

// Printable is the end of a program's output as an error can show it: programs
// print what they read from an image.
func Printable(text string) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return '?'
	}, strings.ToValidUTF8(text, "?")))
	switch {
	case text == "":
		return "it printed nothing"
	case len(text) > maxError:
		return "…" + strings.ToValidUTF8(text[len(text)-maxError:], "")
	}
	return text
}

// bounded keeps the first maxOutput bytes and fails the write after them, which
// breaks the program's pipe. It has the buffer for a field: io.Copy would go past
// the bound by a ReadFrom of its own.
type bounded struct {
	kept bytes.Buffer
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > maxOutput {
		b.over = true
		return 0, io.ErrShortWrite
	}
	return b.kept.Write(p)
}

func (b *bounded) String() string { return b.kept.String() }
