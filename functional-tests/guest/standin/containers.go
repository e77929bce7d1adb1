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
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/kata-tes/kata-tes/functional-tests/guest/image"
	"github.com/kata-tes/kata-tes/functional-tests/guest/sandbox"
)

// folders are where things are in the guest.
type folders struct {
	// base has a bundle for each container, with its root file system.
	base string
	// pause is the bundle of the sandbox's container, part of the guest image.
	pause string
	// namespaces are bound to files in here.
	namespaces string
	// shared is where the host's files are copied.
	shared string
	// state is where runc keeps what it knows of its containers.
	state string
}

var guestFolders = folders{
	base: "/run/kata-containers", pause: "/pause_bundle", namespaces: "/run/sandbox-ns", shared: sandbox.SharedFolder,
	state: "/run/runc",
}

// containers are those of the sandbox.
type containers struct {
	folders folders
	images  *image.Store

	mu         sync.Mutex
	namespaces sandbox.Namespaces
	// pid is the process namespace of a pod that shares one.
	pid string
	// byID has nil for one that is being made.
	byID map[string]*container
}

func newContainers(f folders, images *image.Store) *containers {
	return &containers{folders: f, images: images, byID: map[string]*container{}}
}

// createSandbox makes what all containers share.
func (cs *containers) createSandbox(r *agent.CreateSandboxRequest) error {
	for _, storage := range r.Storages {
		if _, err := cs.addStorage(context.Background(), "", storage); err != nil {
			return err
		}
	}
	namespaces, err := sandbox.NewNamespaces(cs.folders.namespaces, r.Hostname)
	if err != nil {
		return err
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.namespaces = namespaces
	return nil
}

func (cs *containers) create(ctx context.Context, r *agent.CreateContainerRequest) (err error) {
	id := r.ContainerId
	if id == "" || filepath.Base(id) != id {
		return errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "container id %q", id)
	}
	if err := cs.reserve(id); err != nil {
		return err
	}
	var u undo
	var c *container
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("container %s: %w", id, err), u.run())
		}
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if err != nil {
			delete(cs.byID, id)
		} else {
			cs.byID[id] = c
		}
	}()

	spec, err := toSpec(r.GetOCI())
	if err != nil {
		return err
	}
	bundle := filepath.Join(cs.folders.base, id)
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		return fmt.Errorf("making the bundle: %w", err)
	}
	u.add(removeFolder(bundle))
	for _, storage := range r.Storages {
		back, err := cs.addStorage(ctx, id, storage)
		if err != nil {
			return err
		}
		if back != nil {
			u.add(back)
		}
	}
	if err := cs.adapt(spec, r.SandboxPidns); err != nil {
		return err
	}
	if err := sandbox.Devices(ctx, "/sys", r.Devices, spec); err != nil {
		return err
	}
	if c, err = newContainer(ctx, cs.folders.state, id, r.ExecId, bundle, spec); err != nil {
		return err
	}
	c.undo = u
	if isSandbox(spec) {
		cs.mu.Lock()
		cs.pid = fmt.Sprintf("/proc/%d/ns/pid", c.first.handle.Pid)
		cs.mu.Unlock()
	}
	return nil
}

// reserve keeps a second request for the same container out.
func (cs *containers) reserve(id string) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, ok := cs.byID[id]; ok {
		return errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "container %s", id)
	}
	cs.byID[id] = nil
	return nil
}

// adapt makes the specification fit the guest.
func (cs *containers) adapt(spec *specs.Spec, sharesProcesses bool) error {
	if isSandbox(spec) {
		process, err := readPauseProcess(cs.folders.pause)
		if err != nil {
			return err
		}
		spec.Process = process
	}
	cs.mu.Lock()
	namespaces, pid := cs.namespaces, ""
	if sharesProcesses {
		pid = cs.pid
	}
	cs.mu.Unlock()
	joinNamespaces(spec, namespaces.IPC, namespaces.UTS, pid)
	return sandbox.Sysctl(takeNetworkParameters(spec))
}

func (cs *containers) get(id string) (*container, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id]
	if c == nil {
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

func (cs *containers) remove(ctx context.Context, id string) error {
	c, err := cs.get(id)
	if err != nil {
		return err
	}
	if err := c.remove(ctx); err != nil {
		return err
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.byID, id)
	return nil
}

func (cs *containers) removeAll(ctx context.Context) error {
	cs.mu.Lock()
	ids := slices.Collect(maps.Keys(cs.byID))
	cs.mu.Unlock()
	var err error
	for _, id := range ids {
		if removed := cs.remove(ctx, id); !errors.Is(errgrpc.ToNative(removed), errdefs.ErrNotFound) {
			err = errors.Join(err, removed)
		}
	}
	return err
}
