// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one in the node.
type Process struct {
	PID int
	// Name is that of its program's file.
	Name string
	Args []string
}

// Processes lists those for which keep says yes.
func Processes(keep func(Process) bool) ([]Process, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, folder := range folders {
		// One that ended meanwhile, or a thread of the kernel, has no program.
		program, err := os.Readlink(folder + "/exe")
		if err != nil {
			continue
		}
		line, err := os.ReadFile(folder + "/cmdline")
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			return nil, err
		}
		p := Process{
			PID:  pid,
			Name: filepath.Base(strings.TrimSuffix(program, " (deleted)")),
			Args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"),
		}
		if keep(p) {
			found = append(found, p)
		}
	}
	return found, nil
}

// ByName keeps processes of a program.
func ByName(name string) func(Process) bool {
	return func(p Process) bool { return p.Name == name }
}

// shimsAndMachines keeps what a pod consists of on the host.
func shimsAndMachines(p Process) bool {
	return strings.HasPrefix(p.Name, "containerd-shim-") || strings.HasPrefix(p.Name, "qemu-system-") || p.Name == "kata-tes-qemu"
}

// has says whether one of the arguments is, or contains, the text.
func (p Process) has(text string) bool {
	for _, argument := range p.Args {
		if strings.Contains(argument, text) {
			return true
		}
	}
	return false
}

// QEMU is the process of the pod's virtual machine.
func (p *Pod) QEMU() (Process, error) {
	return one("QEMU of sandbox "+p.ID, func(process Process) bool {
		return strings.HasPrefix(process.Name, "qemu-system-") && process.has("sandbox-"+p.ID)
	})
}

// Shim is the pod's serving process of that program, e.g.
// containerd-shim-kata-tes-v2.
func (p *Pod) Shim(name string) (Process, error) {
	return one(name+" of sandbox "+p.ID, func(process Process) bool {
		return process.Name == name && process.has(p.ID)
	})
}

func one(what string, keep func(Process) bool) (Process, error) {
	found, err := Processes(keep)
	if err != nil {
		return Process{}, err
	}
	if len(found) != 1 {
		return Process{}, fmt.Errorf("%s: %d processes instead of one: %v", what, len(found), found)
	}
	return found[0], nil
}

// PSS is the process's share of memory in bytes (proc(5), smaps_rollup).
func (p Process) PSS() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.PID))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of %s: %w", p.Name, err)
	}
	for _, line := range strings.Split(string(content), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no Pss of %s in smaps_rollup", p.Name)
}

// Descriptors is how many files the process has open.
func (p Process) Descriptors() (int, error) { return p.count("fd") }

// Threads is how many threads it has.
func (p Process) Threads() (int, error) { return p.count("task") }

func (p Process) count(folder string) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", p.PID, folder))
	if err != nil {
		return 0, fmt.Errorf("looking at %s: %w", p.Name, err)
	}
	return len(entries), nil
}
