// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qemuwrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// Wrapper is what the wrapper must know beside its arguments.
type Wrapper struct {
	// RunRoot has the folders of our sandboxes, usually rundir.Root.
	RunRoot string
	// Config is the file that names hypervisors, for messages.
	Config string
	// Default is the hypervisor for what our shim did not start. It is asked
	// only then, so that a broken configuration doesn't stop our own sandboxes.
	Default func() (string, error)
}

// Exec becomes the real QEMU. argv and env are those of this process. It
// returns only if that fails; ExitStatus says with which status to end.
func (w Wrapper) Exec(argv, env []string) error {
	id, hypervisor, err := w.choose(argv)
	if err != nil {
		return err
	}
	args := append([]string{hypervisor}, argv[min(1, len(argv)):]...)
	if id != "" {
		fd, err := listen(rundir.MonitorPath(w.RunRoot, id))
		if err != nil {
			return fmt.Errorf("adding a monitor to sandbox %s: %w", id, err)
		}
		args = append(args, monitorArgs(fd)...)
	}
	if err := syscall.Exec(hypervisor, args, env); err != nil { //nolint:gosec // executing what Kata asked for is what this is for
		return fmt.Errorf("executing %s: %w", hypervisor, err)
	}
	return nil
}

// choose finds the real QEMU, and the sandbox's id if it gets a monitor.
func (w Wrapper) choose(argv []string) (id, hypervisor string, err error) {
	id, hypervisor, err = w.ofSandbox(argv)
	if err != nil {
		return "", "", err
	}
	if hypervisor != "" {
		if err := checkTarget(hypervisor); err != nil {
			return "", "", fmt.Errorf("%w: set hypervisor in %s to the real QEMU, "+
				"then delete the pod and create it again (its sandbox %s remembers the old setting)", err, w.Config, id)
		}
		return id, hypervisor, nil
	}
	hypervisor, err = w.Default()
	if err != nil {
		return "", "", fmt.Errorf("finding the default hypervisor: %w", err)
	}
	if err := checkTarget(hypervisor); err != nil {
		return "", "", fmt.Errorf("%w: set hypervisor under [defaults] in %s to the real QEMU", err, w.Config)
	}
	return id, hypervisor, nil
}

// ofSandbox is what `start` wrote down for the sandbox that argv names. Both are
// empty for a sandbox, or no sandbox, that isn't ours; the hypervisor is empty
// where `start` had none to name.
func (w Wrapper) ofSandbox(argv []string) (id, hypervisor string, err error) {
	id, found := sandboxID(argv)
	if !found {
		return "", "", nil
	}
	sandbox, err := rundir.Load(w.RunRoot, id)
	if errors.Is(err, rundir.ErrNotFound) {
		return "", "", nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return "", "", fmt.Errorf("%w: QEMU runs as user %d; set rootless = false in Kata's [hypervisor.qemu]", err, os.Geteuid())
	}
	if err != nil {
		return "", "", fmt.Errorf("%w: remove %s, then delete the pod and create it again", err, filepath.Join(w.RunRoot, id))
	}
	return id, sandbox.Hypervisor, nil
}
