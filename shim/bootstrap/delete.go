// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// servingPatience is how long a serving process may take to end by itself
// after the inner shim has.
const servingPatience = time.Second

// delete cleans up after a container whose shim containerd has given up, and
// answers what the inner shim's `delete` answers. For the sandbox's own
// container no process, socket or folder of the sandbox is left afterwards.
func (p Program) delete(ctx context.Context, c call) error {
	bundle := c.bundle
	if bundle == "" {
		var err error
		if bundle, err = workingFolder(); err != nil {
			return err
		}
	}
	r, err := p.recordOf(bundle, c.id)
	if err != nil {
		return err
	}
	// A machine that the inner shim can't end would hold the pod's volume for
	// ever. Not earlier than at the end: Kata's shim asks the guest, and waits
	// long for one whose machine is gone. So long that we may not live to see it.
	endMachine := func() error { return nil }
	if r.Sandbox {
		endMachine = atTheEnd(ctx, c)
	}
	// Ours first: containerd kills us after five seconds by default, which the
	// inner shim may need for itself on a busy node.
	err = errors.Join(p.endProcesses(ctx, r, bundle), p.removeFiles(r, c.id))
	// Whatever went wrong before, the inner shim must have its chance to
	// clean up.
	inner := runInner(ctx, r.InnerShim, c.args, nil, func(stdout []byte) error {
		_, err := p.Stdout.Write(stdout)
		return err
	})
	return errors.Join(inner, err, endMachine())
}

// recordOf is what `start` wrote, completed by what else it may have left: it
// may have been killed half the way.
func (p Program) recordOf(bundle, id string) (record, error) {
	r, err := readRecord(bundle)
	if err != nil {
		return r, err
	}
	if sandbox, err := rundir.Load(p.RunRoot, id); err == nil {
		r.Sandbox = true
		if r.InnerShim == "" {
			r.InnerShim = sandbox.InnerShim
		}
	}
	if err := r.completeAddresses(bundle); err != nil {
		return r, err
	}
	if r.InnerShim != "" {
		return r, nil
	}
	file, err := config.Load(p.ConfigPath)
	if err != nil {
		return r, err
	}
	settings, err := file.For("")
	if err != nil {
		return r, fmt.Errorf("no %s in the bundle %s names the inner shim: %w", recordFile, bundle, err)
	}
	r.InnerShim = settings.InnerShim
	return r, nil
}

// endProcesses ends the inner shim where it must not go on: with its sandbox,
// and when our serving process is gone, because nobody can reach it then. A
// further container of a living pod leaves both alone.
func (p Program) endProcesses(ctx context.Context, r record, bundle string) error {
	if r.Inner == "" || (!r.Sandbox && listens(ctx, r.Outer)) {
		return nil
	}
	err := killListeners(ctx, r.Inner, 0)
	if r.Sandbox {
		err = errors.Join(err, killByPidFile(ctx, bundle, r.InnerShim))
	}
	// It sees the inner shim's end and cleans up.
	return errors.Join(err, killListeners(ctx, r.Outer, servingPatience))
}

func (p Program) removeFiles(r record, id string) error {
	if !r.Sandbox {
		return nil
	}
	return errors.Join(r.removeSockets(), rundir.Remove(p.RunRoot, id))
}
