// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qemuwrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Exit statuses of a program that could not become another one, as a shell has
// them (POSIX, 2.8.2).
const (
	ExitNotFound      = 127
	ExitNotExecutable = 126
)

var (
	errRelative = errors.New("not an absolute path")
	errSelf     = errors.New("that is this wrapper itself")
	errNoFile   = errors.New("not a regular file")
)

// checkTarget makes sure that a hypervisor can be executed and isn't us: Kata's
// configuration names this wrapper, and whoever copies that path into ours
// would start an endless chain.
func checkTarget(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q: %w", path, errRelative)
	}
	target, err := os.Stat(path) //nolint:gosec // from root's configuration; only looked at
	if err != nil {
		return fmt.Errorf("looking for the hypervisor: %w", err)
	}
	if !target.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", path, errNoFile)
	}
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("looking for the own executable: %w", err)
	}
	if os.SameFile(target, self) {
		return fmt.Errorf("%s: %w", path, errSelf)
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return fmt.Errorf("executing %s: %w", path, err)
	}
	return nil
}

// ExitStatus is the status with which to report err.
func ExitStatus(err error) int {
	if errors.Is(err, fs.ErrNotExist) {
		return ExitNotFound
	}
	return ExitNotExecutable
}
