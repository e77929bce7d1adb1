// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// addressTimeout bounds the wait for the guest's address. Kata's shim
	// begins to serve it while it still creates the sandbox, and pod containers
	// come later: what isn't there within seconds never comes.
	addressTimeout = 10 * time.Second
	// addressInterval is how often Kata is asked meanwhile.
	addressInterval = 50 * time.Millisecond
)

// Finder knows where the processes of a sandbox leave their traces. Empty
// fields mean the usual folders.
type Finder struct {
	// RunRoot is ours, /run/kata-tes.
	RunRoot string
	// VCDir is that of Kata's Go runtime, /run/vc.
	VCDir string
	// KataDir is that of Kata's Rust runtime, /run/kata.
	KataDir string
}

// Sandbox is a pod's running virtual machine.
type Sandbox struct {
	id       string
	monitor  string
	agentURL string
	// undoTimeout bounds how long Attach takes to undo itself after its
	// context has ended.
	undoTimeout time.Duration
}

// AgentURL is the address of Kata's agent, e.g. vsock://42:1024. Our own agent
// extension is beside it on another port.
func (s *Sandbox) AgentURL() string { return s.agentURL }

// Find looks for the sandbox's monitor, makes sure that it answers, and asks
// Kata for the guest's address. Its errors are ErrNoMonitor, ErrNoGuestAddress,
// or the context's when QEMU hangs.
func (f Finder) Find(ctx context.Context, sandboxID string) (*Sandbox, error) {
	if err := rundir.ValidateID(sandboxID); err != nil {
		return nil, fmt.Errorf("finding the virtual machine: %w", err)
	}
	s := &Sandbox{
		id:          sandboxID,
		monitor:     rundir.MonitorPath(or(f.RunRoot, rundir.Root), sandboxID),
		undoTimeout: undoTimeout,
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := conn.Close(); err != nil {
		return nil, err
	}
	s.agentURL, err = f.guestAddress(ctx, sandboxID)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// dial connects to our monitor. Kata's own connection is to another one.
func (s *Sandbox) dial(ctx context.Context, events ...string) (*qmp.Conn, error) {
	conn, err := qmp.Dial(ctx, s.monitor, events...)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// A QEMU that ends in order takes its socket away.
		return nil, fmt.Errorf("%w: %s does not exist; unless QEMU has just ended, Kata did not start it through kata-tes-qemu: "+
			"run kata-tes install for the runtime handler, or set path in [hypervisor.qemu] to kata-tes-qemu by a drop-in in config.d beside "+
			"the configuration that the handler's ConfigPath names; then delete the pod and create it again", ErrNoMonitor, s.monitor)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: nobody listens at %s, its QEMU has ended; delete the pod and create it again", ErrNoMonitor, s.monitor)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("sandbox %s: QEMU does not answer on its monitor (hung, or another client is connected); delete the pod if this stays: %w", s.id, err)
	case err != nil:
		return nil, fmt.Errorf("sandbox %s: %w", s.id, err)
	}
	return conn, nil
}

// guestAddress asks until Kata knows. That it never knows is ErrNoGuestAddress
// alone; only the caller's own limit is a context's error as well.
func (f Finder) guestAddress(caller context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(caller, addressTimeout)
	defer cancel()
	runtime := goRuntime{dir: filepath.Join(or(f.VCDir, "/run/vc"), "sbs", id)}
	again := time.NewTicker(addressInterval)
	defer again.Stop()
	for {
		url, err := askAddress(ctx, runtime)
		if err == nil {
			return url, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("%w: Kata's shim did not tell it in time (%s); see containerd's log for its reason, and delete the pod if this stays%s",
				ErrNoGuestAddress, oneLine(err), f.rustHint(id)), caller.Err())
		}
	}
}

// rustHint explains the failure where the sandbox belongs to the runtime that
// Find does not know yet.
func (f Finder) rustHint(id string) string {
	dir := filepath.Join(or(f.KataDir, "/run/kata"), id)
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return fmt.Sprintf("; %s exists: the sandbox belongs to Kata's Rust runtime, set the handler's inner shim and ConfigPath to Kata's Go runtime", dir)
}

// oneLine is the text of joined errors without line breaks, and without their
// identity: what went wrong in one of many attempts is no verdict.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
