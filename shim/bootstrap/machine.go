// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// endMachine is the action of the process that outlives a `delete`.
const endMachine = "end-machine"

// Descriptors that `delete` gives to the process that outlives it.
const (
	// deletedFD is at its end when `delete` is.
	deletedFD = 3
	// problemFD takes what went wrong.
	problemFD = 4
	// machineFD and those after it are the machine's processes.
	machineFD = 5
)

// machine is a sandbox's QEMU, as `delete` found it. Where neither the inner
// shim's `delete` nor anybody else ends it, it would hold the pod's volume for
// ever; and containerd kills a `delete` that takes more than five seconds by
// default, while Kata waits longer than that for a guest that is gone. So a
// process of its own sees to it.
type machine struct {
	delete  *os.File // closed: `delete` is through
	problem *os.File
	process *exec.Cmd
}

// watchMachine starts that process. nil, without an error: there is no machine.
func watchMachine(id string) (_ *machine, err error) {
	var files descriptors
	defer func() { err = errors.Join(err, files.close()) }()
	processes, err := machinesOf(id)
	files.add(processes...)
	if err != nil || len(processes) == 0 {
		return nil, err
	}
	deleted, toDeleted, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	files.add(deleted)
	problem, toProblem, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a pipe: %w", err), toDeleted.Close())
	}
	files.add(toProblem)
	m := &machine{delete: toDeleted, problem: problem}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("looking for our own executable: %w", err), m.close())
	}
	// No CommandContext: it outlives us.
	m.process = exec.Command(self, endMachine, strconv.Itoa(len(processes))) //nolint:gosec // ourselves
	m.process.Dir = "/"                                                      // the bundle is about to be removed
	m.process.ExtraFiles = append([]*os.File{deleted, toProblem}, processes...)
	m.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := m.process.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("executing %s: %w", self, err), m.close())
	}
	return m, nil
}

// end lets it do its work and waits until it has.
func (m *machine) end() error {
	if m == nil {
		return nil
	}
	err := m.delete.Close()
	said, readErr := io.ReadAll(io.LimitReader(m.problem, maxStderr))
	if len(said) > 0 {
		err = errors.Join(err, errors.New(string(said)))
	}
	return errors.Join(err, readErr, m.problem.Close(), m.process.Wait())
}

func (m *machine) close() error { return errors.Join(m.delete.Close(), m.problem.Close()) }

// endMachineAfterDelete is that process.
func endMachineAfterDelete(ctx context.Context, count string) (err error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return fmt.Errorf("%s of %q processes; %w", endMachine, count, errUsage)
	}
	deleted, problem := os.NewFile(deletedFD, "deleted"), os.NewFile(problemFD, "problem")
	defer func() {
		if err != nil {
			// Nobody reads it where `delete` was killed.
			_, _ = fmt.Fprint(problem, err)
		}
		err = errors.Join(problem.Close(), deleted.Close())
	}()
	if _, err := io.Copy(io.Discard, deleted); err != nil {
		return fmt.Errorf("waiting for the end of delete: %w", err)
	}
	var errs []error
	for fd := machineFD; fd < machineFD+n; fd++ {
		errs = append(errs, kill(ctx, fd))
	}
	return errors.Join(errs...)
}

// machinesOf finds the sandbox's QEMU, as descriptors of processes
// (pidfd_open(2)). No socket and no file leads to it: its monitor is listed in
// the pod's network namespace only, and the sandbox's folder may be gone. But
// both of Kata's runtimes tell it the sandbox's id. Those that it gives are to
// be closed also when it fails.
func machinesOf(id string) ([]*os.File, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("looking for the virtual machine of sandbox %s: %w", id, err)
	}
	var found []*os.File
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || !isMachineOf(pid, id) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("opening process %d, the virtual machine of sandbox %s: %w", pid, id, err)
		}
		process := os.NewFile(uintptr(fd), "process "+entry.Name())
		// The number may be another process's by now.
		if !isMachineOf(pid, id) {
			if err := process.Close(); err != nil {
				return found, err
			}
			continue
		}
		found = append(found, process)
	}
	return found, nil
}

// isMachineOf says whether a process was started with `-name sandbox-<id>`
// (qemu(1): further properties may follow after a comma). One that ends
// meanwhile was not.
func isMachineOf(pid int, id string) bool {
	line, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return false
	}
	arguments := bytes.Split(line, []byte{0})
	for i := 1; i < len(arguments); i++ {
		name, _, _ := strings.Cut(string(arguments[i]), ",")
		if string(arguments[i-1]) == "-name" && name == "sandbox-"+id {
			return true
		}
	}
	return false
}
