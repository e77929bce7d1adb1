// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// Restarter restarts containerd and waits until it is up.
type Restarter interface {
	// Check says what can be known before anything is changed.
	Check(tree *node.Tree, containerdConfig string) error
	Restart(ctx context.Context, tree *node.Tree, containerdConfig string) error
}

const (
	// restartLimit is for a containerd that has many containers to look after
	// again when it starts.
	restartLimit = 3 * time.Minute
	// maxOutput of a command that is shown, in bytes.
	maxOutput = 4096
)

// Command is a command line of the operator's, run as it is.
type Command []string

// Check implements Restarter.
func (c Command) Check(*node.Tree, string) error {
	if _, err := exec.LookPath(c[0]); err != nil {
		return fmt.Errorf("the command of --restart-command cannot be run: %w", err)
	}
	return nil
}

// Restart implements Restarter.
func (c Command) Restart(ctx context.Context, tree *node.Tree, _ string) error {
	//nolint:gosec // The operator's own command.
	cmd := exec.Command(c[0], c[1:]...)
	cmd.Env = append(os.Environ(), "KATA_TES_ROOT="+tree.Dir())
	return run(ctx, cmd)
}

// Systemd asks the node's systemd. For a node that is mounted elsewhere its own
// systemctl is run with that folder as its root, where it finds systemd's socket
// below /run: so a container needs neither tools nor the host's pid namespace.
type Systemd struct{}

// Check implements Restarter.
func (s Systemd) Check(tree *node.Tree, containerdConfig string) error {
	if containerdConfig != "/etc/containerd/config.toml" {
		return fmt.Errorf("which service has the containerd of %s is not known here; give the command with --restart-command", containerdConfig)
	}
	if s.program(tree) == "" {
		return errors.New("the node has no systemctl; give a command with --restart-command")
	}
	return nil
}

func (Systemd) program(tree *node.Tree) string {
	for _, name := range []string{"/usr/bin/systemctl", "/bin/systemctl"} {
		if tree.Executable(name) == nil {
			return name
		}
	}
	return ""
}

// Restart implements Restarter.
func (s Systemd) Restart(ctx context.Context, tree *node.Tree, containerdConfig string) error {
	if err := s.Check(tree, containerdConfig); err != nil {
		return err
	}
	//nolint:gosec // One of two names.
	cmd := exec.Command(s.program(tree), "restart", "containerd.service")
	if filepath.Clean(tree.Dir()) != "/" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: tree.Dir()}
		cmd.Dir = "/"
		// systemctl does nothing in a chroot unless told (systemd's
		// docs/ENVIRONMENT.md).
		cmd.Env = append(os.Environ(), "SYSTEMD_IGNORE_CHROOT=1")
	}
	return run(ctx, cmd)
}

func run(ctx context.Context, cmd *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, restartLimit)
	defer cancel()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("restarting containerd: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		said := strings.TrimSpace(output.String())
		err = fmt.Errorf("restarting containerd: '%s': %w", strings.Join(cmd.Args, " "), errors.Join(err, ctx.Err()))
		if said == "" {
			return err
		}
		return fmt.Errorf("%w: %s", err, said[max(0, len(said)-maxOutput):])
	}
	return nil
}
