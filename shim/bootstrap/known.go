// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
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

// killMachine ends the sandbox's QEMU. No socket and no file leads to it: its
// monitor is listed in the pod's network namespace only, and the sandbox's
// folder may be gone. But both of Kata's runtimes tell it the sandbox's id.
func killMachine(ctx context.Context, id string) error {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return fmt.Errorf("looking for the virtual machine of sandbox %s: %w", id, err)
	}
	var errs []error
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && isMachineOf(pid, id) {
			errs = append(errs, end(ctx, pid, 0))
		}
	}
	return errors.Join(errs...)
}

// isMachineOf says whether a process was started with `-name sandbox-<id>`
// (qemu(1): further properties may follow after a comma). One that ends
// meanwhile was not.
func isMachineOf(pid int, id string) bool {
	line, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return false
	}
	return isMachine(line, id)
}

// isMachine looks at a command line as procfs has it (proc(5)): arguments, each
// ended by NUL.
func isMachine(line []byte, id string) bool {
	arguments := bytes.Split(line, []byte{0})
	for i := 1; i < len(arguments); i++ {
		name, _, _ := strings.Cut(string(arguments[i]), ",")
		if string(arguments[i-1]) == "-name" && name == "sandbox-"+id {
			return true
		}
	}
	return false
}
