// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package daemon runs programs that end with us, however we end.
package daemon

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program that was started.
type Process struct {
	cmd *exec.Cmd
	// ended is closed when it has been waited for; err is then set.
	ended chan struct{}
	err   error
}

// Start starts a command. Wait must be called, once.
func Start(cmd *exec.Cmd) (*Process, error) {
	// A session of its own: Ctrl-C is for us, and we end it.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that
		// started the child ends; this one lives as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-p.ended
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Wait waits for the end. A pipe to the program must have been read by then.
func (p *Process) Wait() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// PID is the program's, also when it has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the program has ended and been waited for.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err is how it ended; only after Ended is closed.
func (p *Process) Err() error { return p.err }

// Kill ends it at once and returns when it has been waited for.
func (p *Process) Kill() {
	// One that has ended meanwhile is what we want.
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Stop asks it to end, and kills it when it takes longer than that.
func (p *Process) Stop(patience time.Duration) {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.Kill()
	}
}
