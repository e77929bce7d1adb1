// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// killByPidFile ends the process that an inner shim's shim.pid names, if it is
// the inner shim: for one that has closed its socket but still lives.
func killByPidFile(ctx context.Context, bundle, shim string) error {
	content, err := os.ReadFile(filepath.Join(bundle, "shim.pid")) //nolint:gosec // containerd's bundle
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the inner shim's process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("reading the inner shim's process id: %.20q is none", content)
	}
	running, err := os.Stat(filepath.Join(proc, strconv.Itoa(pid), "exe"))
	if err != nil {
		return nil //nolint:nilerr // it has ended
	}
	installed, err := os.Stat(shim)
	if err != nil || !os.SameFile(running, installed) {
		return nil //nolint:nilerr // another program has that number now
	}
	return end(ctx, pid, 0)
}
