// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is one in a container: its first, or one that was executed in it.
// runc leaves it to us when it ends: we are the subreaper (prctl(2)), so it
// becomes our child and we get its exit status.
type process struct {
	*stdio
	first  bool
	handle *os.Process
	ended  chan struct{}
	status int32

	// output is what is still to be read, of two streams.
	output               sync.WaitGroup
	stdoutEnd, stderrEnd func()
}

// adopt takes a process that runc has made, by the file with its number.
func adopt(streams *stdio, first bool, pidFile string) (*process, error) {
	content, err := os.ReadFile(pidFile)
	if err == nil {
		err = os.Remove(pidFile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the process's number: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return nil, fmt.Errorf("reading the process's number: %w", err)
	}
	handle, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p := &process{stdio: streams, first: first, handle: handle, ended: make(chan struct{})}
	p.output.Add(2)
	p.stdoutEnd, p.stderrEnd = sync.OnceFunc(p.output.Done), sync.OnceFunc(p.output.Done)
	if streams.socket != nil {
		// A terminal has one stream.
		p.stderrEnd()
	}
	go p.reap()
	return p, nil
}

// reap waits for the end. An exit by signal counts as 128 and its number, as
// in a shell and in Kata's agent.
func (p *process) reap() {
	defer close(p.ended)
	p.status = 255
	state, err := p.handle.Wait()
	if err != nil {
		fmt.Fprintf(os.Stderr, "waiting for process %d: %v\n", p.handle.Pid, err)
		return
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok {
		p.status = int32(status.ExitStatus())
		if status.Signaled() {
			p.status = 128 + int32(status.Signal())
		}
	}
}

func (p *process) wait(ctx context.Context) (int32, error) {
	select {
	case <-p.ended:
		return p.status, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// signal of a process that has ended is no error: Kata sends them on the way
// down. The kernel keeps SIGTERM from a first process that does not handle it,
// so that gets SIGKILL, as Kata's agent has it.
func (p *process) signal(s unix.Signal) error {
	if s == unix.SIGTERM && p.first && !p.handles(s) {
		s = unix.SIGKILL
	}
	if err := p.handle.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending signal %d to process %d: %w", s, p.handle.Pid, err)
	}
	return nil
}

// handles says whether the process catches a signal (proc(5), SigCgt). One
// that is gone handles none.
func (p *process) handles(s unix.Signal) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.handle.Pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		if text, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			caught, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return err == nil && caught&(1<<(s-1)) != 0
		}
	}
	return false
}
