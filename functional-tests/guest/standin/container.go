// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"golang.org/x/sys/unix"
)

// container has a first process and further ones that were executed in it.
type container struct {
	id string

	mu        sync.Mutex
	first     *process
	processes map[string]*process
}

// containers are those of the sandbox.
type containers struct {
	mu   sync.Mutex
	byID map[string]*container
}

func newContainers() *containers { return &containers{byID: map[string]*container{}} }

func (cs *containers) create(r *agent.CreateContainerRequest) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, ok := cs.byID[r.ContainerId]; ok {
		return errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "container %s", r.ContainerId)
	}
	first, err := newProcess(r.GetOCI().GetProcess())
	if err != nil {
		return fmt.Errorf("container %s: %w", r.ContainerId, err)
	}
	cs.byID[r.ContainerId] = &container{
		id:        r.ContainerId,
		first:     first,
		processes: map[string]*process{r.ExecId: first},
	}
	return nil
}

func (cs *containers) get(id string) (*container, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c, ok := cs.byID[id]
	if !ok {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container %s", id)
	}
	return c, nil
}

func (cs *containers) process(id, execID string) (*process, error) {
	c, err := cs.get(id)
	if err != nil {
		return nil, err
	}
	return c.process(execID)
}

func (cs *containers) remove(id string) error {
	c, err := cs.get(id)
	if err != nil {
		return err
	}
	c.kill()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.byID, id)
	return nil
}

func (cs *containers) removeAll() {
	cs.mu.Lock()
	all := slices.Collect(maps.Values(cs.byID))
	clear(cs.byID)
	cs.mu.Unlock()
	for _, c := range all {
		c.kill()
	}
}

func (c *container) process(execID string) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if execID == "" || execID == c.id {
		return c.first, nil
	}
	p, ok := c.processes[execID]
	if !ok {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "process %s of container %s", execID, c.id)
	}
	return p, nil
}

func (c *container) start() error {
	if err := c.first.start(); err != nil {
		return fmt.Errorf("starting container %s: %w", c.id, err)
	}
	return nil
}

// exec starts at once: Kata's runtime sends ExecProcess for containerd's Start.
func (c *container) exec(execID string, spec *agent.Process) error {
	p, err := newProcess(spec)
	if err != nil {
		return fmt.Errorf("process %s of container %s: %w", execID, c.id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.processes[execID]; ok {
		return errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "process %s of container %s", execID, c.id)
	}
	if err := p.start(); err != nil {
		return fmt.Errorf("process %s of container %s: %w", execID, c.id, err)
	}
	c.processes[execID] = p
	return nil
}

// signal sends to one process, or with an empty id to all of the container.
func (c *container) signal(execID string, number uint32) error {
	if execID != "" {
		p, err := c.process(execID)
		if err != nil {
			return err
		}
		return p.signal(unix.Signal(number))
	}
	for _, p := range c.all() {
		if err := p.signal(unix.Signal(number)); err != nil {
			return err
		}
	}
	return nil
}

func (c *container) kill() {
	for _, p := range c.all() {
		p.kill()
	}
}

func (c *container) all() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.processes))
}
