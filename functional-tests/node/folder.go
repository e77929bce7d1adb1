// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// NewFolder makes a folder for what one process runs, below build/run, and
// removes those of processes that were killed before they could.
func NewFolder(build string) (string, error) {
	parent := filepath.Join(build, "run")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("making a folder below build/run: %w", err)
	}
	if err := removeAbandoned(parent); err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(parent, fmt.Sprintf("%d-", os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("making a folder below build/run: %w", err)
	}
	return folder, nil
}

func removeAbandoned(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("looking for abandoned folders: %w", err)
	}
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "-")
		pid, err := strconv.Atoi(number)
		if err != nil || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(parent, entry.Name())); err != nil {
			return fmt.Errorf("removing an abandoned folder: %w", err)
		}
	}
	return nil
}
