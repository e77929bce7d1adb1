// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kata-tes/kata-tes/functional-tests/daemon"
)

// process is the node's QEMU.
type process struct {
	*daemon.Process
	// output is the node's serial console.
	output io.ReadCloser
}

// startQEMU starts QEMU; its standard output is the node's serial console.
func startQEMU(args []string, folder string) (*process, error) {
	stderr, err := os.OpenFile(filepath.Join(folder, "qemu.log"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keeping QEMU's messages: %w", err)
	}
	defer func() { _ = stderr.Close() }()
	cmd := exec.Command(qemuPath, args...)
	cmd.Stderr = stderr
	// The disk's snapshot is a file there, unlinked at once.
	cmd.Env = append(os.Environ(), "TMPDIR="+folder)
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	p, err := daemon.Start(cmd)
	if err != nil {
		return nil, err
	}
	return &process{p, output}, nil
}
