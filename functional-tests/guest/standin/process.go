// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"golang.org/x/sys/unix"
)

// process is a program of the guest image that plays a container's process.
// Its streams exist before it runs: Kata reads them as soon as it can.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr *os.File
	// theirs are the program's ends, which are closed here once it runs.
	theirs []*os.File
	pty    bool

	mu      sync.Mutex
	started bool
	ended   chan struct{}
	status  int32
}

func newProcess(spec *agent.Process) (*process, error) {
	if len(spec.GetArgs()) == 0 {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "no program to run")
	}
	p := &process{
		cmd:   exec.Command(spec.Args[0], spec.Args[1:]...),
		pty:   spec.Terminal,
		ended: make(chan struct{}),
	}
	p.cmd.Env = spec.Env
	p.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	open := p.openPipes
	if spec.Terminal {
		open = p.openTerminal
	}
	if err := open(); err != nil {
		p.closeAll()
		return nil, err
	}
	return p, nil
}

func (p *process) openTerminal() error {
	master, slave, err := openPTY()
	if err != nil {
		return err
	}
	p.stdin, p.stdout = master, master
	p.theirs = []*os.File{slave}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr.Setctty = true
	// A terminal has no standard error of its own: its reader sees the end.
	ours, end, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	p.stderr = ours
	return end.Close()
}

func (p *process) openPipes() error {
	for _, stream := range []struct {
		ours  **os.File
		set   func(*os.File)
		input bool
	}{
		{&p.stdin, func(f *os.File) { p.cmd.Stdin = f }, true},
		{&p.stdout, func(f *os.File) { p.cmd.Stdout = f }, false},
		{&p.stderr, func(f *os.File) { p.cmd.Stderr = f }, false},
	} {
		reader, writer, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("making a pipe: %w", err)
		}
		ours, theirs := reader, writer
		if stream.input {
			ours, theirs = writer, reader
		}
		*stream.ours = ours
		stream.set(theirs)
		p.theirs = append(p.theirs, theirs)
	}
	return nil
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "already started")
	}
	err := p.cmd.Start()
	for _, f := range p.theirs {
		err = errors.Join(err, f.Close())
	}
	p.theirs = nil
	if err != nil {
		return fmt.Errorf("starting %q: %w", p.cmd.Args, err)
	}
	p.started = true
	go p.reap()
	return nil
}

// reap waits for the end. An exit by signal counts as 128 and its number, as
// in a shell and in Kata's agent.
func (p *process) reap() {
	// The error repeats the status.
	_ = p.cmd.Wait()
	p.status = 255
	if state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		p.status = int32(state.ExitStatus())
		if state.Signaled() {
			p.status = 128 + int32(state.Signal())
		}
	}
	close(p.ended)
}

func (p *process) wait(ctx context.Context) (int32, error) {
	select {
	case <-p.ended:
		return p.status, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// signal of a process that has ended, or has not begun, is no error: Kata
// sends them on the way down.
func (p *process) signal(s unix.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending signal %d: %w", s, err)
	}
	return nil
}

// kill ends the process, started or not, and everything that it left behind
// in its session.
func (p *process) kill() {
	p.mu.Lock()
	if !p.started {
		p.started = true
		p.status = 128 + int32(unix.SIGKILL)
		close(p.ended)
	} else {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	}
	p.mu.Unlock()
	<-p.ended
	p.closeAll()
}

func (p *process) closeStdin() error {
	if p.pty {
		// Closing the master would take the output with it.
		_, err := p.stdin.Write([]byte{4}) // Ctrl-D
		return err
	}
	return p.stdin.Close()
}

func (p *process) resize(rows, columns uint32) error {
	if !p.pty {
		return nil
	}
	size := &unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	if err := unix.IoctlSetWinsize(int(p.stdin.Fd()), unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("resizing the terminal: %w", err)
	}
	return nil
}

func (p *process) closeAll() {
	for _, f := range append(p.theirs, p.stdin, p.stdout, p.stderr) {
		if f != nil {
			_ = io.Closer(f).Close()
		}
	}
	p.theirs = nil
}
