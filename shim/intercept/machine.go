// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"os"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/shim/store"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// finder finds the real virtual machine and the guest that runs in it.
type finder struct {
	vcext.Finder
	// end kills the virtual machine.
	end func(context.Context) error
}

func (f finder) Find(ctx context.Context, sandboxID string) (store.VM, store.Guest, error) {
	sandbox, err := f.Finder.Find(ctx, sandboxID)
	if err != nil {
		return nil, nil, err
	}
	return machine{sandbox: sandbox, end: f.end}, guest{url: sandbox.AgentURL()}, nil
}

// machine is the real virtual machine.
type machine struct {
	sandbox *vcext.Sandbox
	end     func(context.Context) error
}

func (m machine) Attach(ctx context.Context, dev *os.File, marker agentproto.Marker) error {
	return m.sandbox.Attach(ctx, dev, string(marker))
}

// Ended goes by the monitor, which lives as long as QEMU does.
func (m machine) Ended(ctx context.Context) bool {
	_, err := m.sandbox.List(ctx)
	return errors.Is(err, vcext.ErrNoMonitor)
}

// End is for a machine that may not answer on its monitor.
func (m machine) End(ctx context.Context) error { return m.end(ctx) }

// Detach has nothing to do where the virtual machine has ended: its disks and
// claims ended with it.
func (m machine) Detach(ctx context.Context, marker agentproto.Marker) error {
	err := m.sandbox.Detach(ctx, string(marker))
	if errors.Is(err, vcext.ErrNoMonitor) {
		return nil
	}
	return err
}
