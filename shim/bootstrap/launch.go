// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kata-tes/kata-tes/shim/config"
)

// Descriptors that `start` gives to the serving process.
const (
	listenerFD = 3
	readyFD    = 4
)

// readyTimeout bounds the start of the serving process.
const readyTimeout = 20 * time.Second

// ready is what the serving process writes when it serves. Anything else is
// its reason not to.
const ready = "ready"

// maxOOMScore is the kernel's limit (proc(5), oom_score_adj).
const maxOOMScore = 1000

// handoff is what `start` tells the serving process, over its standard input.
// Resolved there, so that the process that stays has no configuration to
// parse.
type handoff struct {
	Settings config.Settings
	RunRoot  string
	Record   record
}

// launch starts the serving process and returns its process id when it serves.
func launch(ctx context.Context, c call, bundle string, listener *net.UnixListener, h handoff) (_ int, err error) {
	var files descriptors
	defer func() { err = errors.Join(err, files.close()) }()

	socket, err := listener.File()
	if err != nil {
		return 0, fmt.Errorf("sharing the listening socket: %w", err)
	}
	files.add(socket)
	input, toInput, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("making a pipe: %w", err)
	}
	files.add(input, toInput)
	answers, toAnswers, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("making a pipe: %w", err)
	}
	files.add(answers, toAnswers)

	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("looking for our own executable: %w", err)
	}
	// No CommandContext: it outlives us. No verb, as containerd's own shims.
	cmd := exec.Command(self, serveArgs(c)...) //nolint:gosec // ourselves
	cmd.Dir = bundle
	cmd.Stdin = input
	cmd.ExtraFiles = []*os.File{socket, toAnswers}
	// A session of its own: no terminal's and no group's signal ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("executing %s: %w", self, err)
	}
	err = errors.Join(toAnswers.Close(), input.Close())
	if err == nil {
		err = adjustOOMScore(cmd.Process.Pid)
	}
	if err == nil {
		err = converse(ctx, toInput, answers, h)
	}
	if err != nil {
		kill := cmd.Process.Kill()
		if errors.Is(kill, os.ErrProcessDone) {
			kill = nil
		}
		_ = cmd.Wait() // killed: its status says nothing
		return 0, errors.Join(err, kill)
	}
	pid := cmd.Process.Pid
	if err := cmd.Process.Release(); err != nil {
		return pid, fmt.Errorf("releasing the serving process: %w", err)
	}
	return pid, nil
}

// converse hands over and waits for the answer.
func converse(ctx context.Context, to, from *os.File, h handoff) error {
	until := time.Now().Add(readyTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := errors.Join(to.SetDeadline(until), from.SetDeadline(until)); err != nil {
		return fmt.Errorf("limiting the wait: %w", err)
	}
	err := json.NewEncoder(to).Encode(h)
	if err = errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("handing over: %w", err)
	}
	said, err := io.ReadAll(io.LimitReader(from, maxStderr))
	if err != nil {
		return fmt.Errorf("waiting until it serves (the node may be short of cpu or memory): %w", err)
	}
	switch {
	case string(said) == ready:
		return nil
	case len(said) == 0:
		return errors.New("it ended without a word; see the kernel's log for a crash or lack of memory")
	}
	return errors.New(string(said))
}

func serveArgs(c call) []string {
	args := []string{"-namespace", c.namespace, "-id", c.id, "-address", c.address}
	if c.debug {
		args = append(args, "-debug")
	}
	return args
}

// adjustOOMScore makes the kernel end the serving process a little rather than
// containerd, our parent, as containerd's own shims have it.
func adjustOOMScore(pid int) error {
	path := func(pid int) string { return filepath.Join(proc, strconv.Itoa(pid), "oom_score_adj") }
	text, err := os.ReadFile(path(os.Getppid()))
	if err != nil {
		return fmt.Errorf("reading containerd's OOM score: %w", err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("reading containerd's OOM score: %w", err)
	}
	score = min(score+1, maxOOMScore)
	if err := os.WriteFile(path(pid), []byte(strconv.Itoa(score)), 0o600); err != nil {
		return fmt.Errorf("setting the OOM score of the serving process: %w", err)
	}
	return nil
}

// descriptors are files to close at the end; closed earlier is fine.
type descriptors []*os.File

func (d *descriptors) add(files ...*os.File) { *d = append(*d, files...) }

func (d *descriptors) close() error {
	errs := make([]error, 0, len(*d))
	for _, f := range *d {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
