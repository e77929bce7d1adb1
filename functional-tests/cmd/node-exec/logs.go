// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kata-tes/kata-tes/functional-tests/node"
)

// collectLimit bounds the wait for a node that is in trouble anyway.
const collectLimit = 30 * time.Second

// keepLogs saves the node's console, and what the tests in it left of guest
// consoles and daemons, below build/logs. What it can't save it says.
func (j *job) keepLogs(n *node.Node, c *cluster) {
	folder := filepath.Join(j.config.Build, "logs", fmt.Sprintf("%s-%s-%d", j.name, time.Now().Format("20060102-150405"), os.Getpid()))
	if err := errors.Join(j.saveLogs(n, folder), c.saveLogs(folder)); err != nil {
		fmt.Fprintln(os.Stderr, "node-exec: keeping logs:", err)
	}
	fmt.Fprintln(os.Stderr, "node-exec: consoles and logs are in", folder)
}

func (j *job) saveLogs(n *node.Node, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	content, err := os.ReadFile(n.ConsolePath())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "node-console.log"), content, 0o644); err != nil {
		return err
	}
	select {
	case <-n.Lost():
		return fmt.Errorf("of the guests nothing can be had: %w", n.Cause())
	default:
	}

	// The job's context may have ended: collecting has a limit of its own.
	ctx, cancel := context.WithTimeout(context.Background(), collectLimit)
	defer cancel()
	archive, err := os.Create(filepath.Join(folder, "node-logs.tar"))
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	status, err := n.Run(ctx, node.Command{Line: "cd /; ls -d var/log/tes run/log/syslog 2>/dev/null | tar -cf - -T -", Stdout: archive})
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("collecting in the node ended with exit status %d", status)
	}
	return untar(archive.Name(), folder)
}
