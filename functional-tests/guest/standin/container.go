// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/go-runc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// container is one of runc's, with its first process and those executed in it.
type container struct {
	id     string
	bundle string
	spec   *specs.Spec
	runc   *runc.Runc
	// undo is what was done for it outside runc.
	undo undo

	mu        sync.Mutex
	started   bool
	first     *process
	processes map[string]*process
	execs     int
}

// newContainer makes a container by `runc create`: its first process is there
// and waits for Start.
func newContainer(ctx context.Context, state, id, execID, bundle string, spec *specs.Spec) (*container, error) {
	c := &container{
		id: id, bundle: bundle, spec: spec, processes: map[string]*process{},
		runc: &runc.Runc{Root: state, Log: filepath.Join(bundle, "runc.log"), LogFormat: runc.JSON},
	}
	if err := writeSpec(filepath.Join(bundle, "config.json"), spec); err != nil {
		return nil, err
	}
	p, err := c.launch(spec.Process.Terminal, true, "init", func(streams *stdio, pidFile string) error {
		io, socket := streams.forRunc()
		// The guest's root is an initial RAM disk, from which none can pivot.
		return c.explain(c.runc.Create(ctx, id, bundle, &runc.CreateOpts{IO: io, ConsoleSocket: socket, PidFile: pidFile, NoPivot: true}))
	})
	if err != nil {
		return nil, errors.Join(err, c.delete(context.WithoutCancel(ctx)))
	}
	c.first = p
	c.processes[execID] = p
	return c, nil
}

// launch makes a process by a command of runc.
func (c *container) launch(terminal, first bool, name string, command func(streams *stdio, pidFile string) error) (_ *process, err error) {
	streams, err := newStdio(terminal)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, streams.Close())
		}
	}()
	pidFile := filepath.Join(c.bundle, "pid-"+name)
	if err := command(streams, pidFile); err != nil {
		return nil, err
	}
	p, err := adopt(streams, first, pidFile)
	if err != nil {
		return nil, err
	}
	return p, streams.receiveTerminal()
}

func (c *container) process(execID string) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if execID == "" || execID == c.id {
		return c.first, nil
	}
	p := c.processes[execID]
	if p == nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "process %s of container %s", execID, c.id)
	}
	return p, nil
}

func (c *container) start(ctx context.Context) error {
	c.mu.Lock()
	started := c.started
	c.started = true
	c.mu.Unlock()
	if started {
		return errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "container %s is started already", c.id)
	}
	if err := c.explain(c.runc.Start(ctx, c.id)); err != nil {
		return fmt.Errorf("starting container %s: %w", c.id, err)
	}
	return nil
}

// exec starts at once: Kata's runtime sends ExecProcess for containerd's Start.
func (c *container) exec(ctx context.Context, execID string, message *agent.Process) error {
	spec := specs.Process{}
	if err := toOCI(message, &spec); err != nil {
		return err
	}
	// Kata sends none: they are those of the container.
	if spec.Capabilities == nil {
		spec.Capabilities = c.spec.Process.Capabilities
	}
	number, err := c.reserve(execID)
	if err != nil {
		return err
	}
	p, err := c.launch(spec.Terminal, false, number, func(streams *stdio, pidFile string) error {
		io, socket := streams.forRunc()
		logFile := filepath.Join(c.bundle, "log-"+number)
		err := c.runc.Exec(ctx, c.id, spec, &runc.ExecOpts{IO: io, ConsoleSocket: socket, PidFile: pidFile, Detach: true, LogFile: logFile})
		return errors.Join(explain(err, logFile), os.RemoveAll(logFile))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.processes, execID)
		return fmt.Errorf("process %s of container %s: %w", execID, c.id, err)
	}
	c.processes[execID] = p
	return nil
}

// reserve keeps the id of a process that is being made, which is nil until
// then, and gives a number for its files.
func (c *container) reserve(execID string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.processes[execID]; ok {
		return "", errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "process %s of container %s", execID, c.id)
	}
	c.processes[execID] = nil
	c.execs++
	return strconv.Itoa(c.execs), nil
}

// signal sends to one process. Without an id Kata means the first one, and
// with SIGKILL all of them.
func (c *container) signal(ctx context.Context, execID string, number uint32) error {
	if execID == "" && unix.Signal(number) == unix.SIGKILL {
		return c.killAll(ctx)
	}
	p, err := c.process(execID)
	if err != nil {
		return err
	}
	return p.signal(unix.Signal(number))
}

// killAll reaches processes that nobody knows, too. A container that is down
// already is no error.
func (c *container) killAll(ctx context.Context) error {
	err := c.explain(c.runc.Kill(ctx, c.id, int(unix.SIGKILL), &runc.KillOpts{All: true}))
	select {
	case <-c.first.ended:
		return nil
	default:
	}
	if err != nil {
		return fmt.Errorf("killing container %s: %w", c.id, err)
	}
	return nil
}

// remove ends the container and everything that was made for it.
func (c *container) remove(ctx context.Context) error {
	err := c.delete(ctx)
	for _, p := range c.all() {
		select {
		case <-p.ended:
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("removing container %s: its process %d does not end: %w", c.id, p.handle.Pid, ctx.Err()))
		}
		err = errors.Join(err, p.Close())
	}
	return errors.Join(err, c.undo.run())
}

func (c *container) delete(ctx context.Context) error {
	if err := c.explain(c.runc.Delete(ctx, c.id, &runc.DeleteOpts{Force: true})); err != nil {
		return fmt.Errorf("deleting container %s: %w", c.id, err)
	}
	return nil
}

// forget drops a process that has ended and whose streams were read.
func (c *container) forget(execID string) error {
	c.mu.Lock()
	p := c.processes[execID]
	if p == nil || p.first {
		c.mu.Unlock()
		return nil
	}
	delete(c.processes, execID)
	c.mu.Unlock()
	return p.Close()
}

func (c *container) all() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := slices.Collect(maps.Values(c.processes))
	return slices.DeleteFunc(made, func(p *process) bool { return p == nil })
}

// undo are steps back, in the order of the steps.
type undo []func() error

func (u *undo) add(step func() error) { *u = append(*u, step) }

func (u *undo) run() error {
	var err error
	for _, step := range slices.Backward(*u) {
		err = errors.Join(err, step())
	}
	*u = nil
	return err
}

// removeFolder is a step back.
func removeFolder(path string) func() error {
	return func() error { return os.RemoveAll(path) }
}
