// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cgroups is where cgroup v2 is mounted.
const cgroups = "/sys/fs/cgroup"

func (c *container) update(ctx context.Context, message *agent.LinuxResources) error {
	var resources specs.LinuxResources
	if err := toOCI(message, &resources); err != nil {
		return err
	}
	if err := c.explain(c.runc.Update(ctx, c.id, &resources)); err != nil {
		return fmt.Errorf("updating container %s: %w", c.id, err)
	}
	return nil
}

func (c *container) pause(ctx context.Context) error {
	if err := c.explain(c.runc.Pause(ctx, c.id)); err != nil {
		return fmt.Errorf("pausing container %s: %w", c.id, err)
	}
	return nil
}

func (c *container) resume(ctx context.Context) error {
	if err := c.explain(c.runc.Resume(ctx, c.id)); err != nil {
		return fmt.Errorf("resuming container %s: %w", c.id, err)
	}
	return nil
}

// stats reads the container's cgroup. `runc events` would tell the same for a
// process's worth of an emulated cpu.
func (c *container) stats() (*agent.CgroupStats, error) {
	cpu, err := c.keyed("cpu.stat")
	if err != nil {
		return nil, err
	}
	memory, err := c.keyed("memory.stat")
	if err != nil {
		return nil, err
	}
	numbers := map[string]uint64{}
	for _, name := range []string{"memory.current", "memory.peak", "memory.max", "pids.current", "pids.max"} {
		if numbers[name], err = c.number(name); err != nil {
			return nil, err
		}
	}
	const micro = 1000 // cgroup v2 has microseconds, Kata nanoseconds
	return &agent.CgroupStats{
		CpuStats: &agent.CpuStats{
			CpuUsage: &agent.CpuUsage{
				TotalUsage: cpu["usage_usec"] * micro, UsageInUsermode: cpu["user_usec"] * micro, UsageInKernelmode: cpu["system_usec"] * micro,
			},
			ThrottlingData: &agent.ThrottlingData{
				Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledTime: cpu["throttled_usec"] * micro,
			},
		},
		MemoryStats: &agent.MemoryStats{
			Cache: memory["file"],
			Usage: &agent.MemoryData{Usage: numbers["memory.current"], MaxUsage: numbers["memory.peak"], Limit: numbers["memory.max"]},
			Stats: memory,
		},
		PidsStats: &agent.PidsStats{Current: numbers["pids.current"], Limit: numbers["pids.max"]},
	}, nil
}

// ranOutOfMemory asks the cgroup, while it is there.
func (c *container) ranOutOfMemory() bool {
	events, err := c.keyed("memory.events")
	return err == nil && events["oom_kill"] > 0
}

func (c *container) cgroupFile(name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(cgroups, c.spec.Linux.CgroupsPath, name))
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup of container %s: %w", c.id, err)
	}
	return content, nil
}

// keyed reads a file of lines with a name and a number.
func (c *container) keyed(name string) (map[string]uint64, error) {
	content, err := c.cgroupFile(name)
	if err != nil {
		return nil, err
	}
	values := map[string]uint64{}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) == 2 {
			if number, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				values[fields[0]] = number
			}
		}
	}
	return values, nil
}

// number reads a file with one number. "max" is none, and so is a file that
// this kernel or this cgroup does not have.
func (c *container) number(name string) (uint64, error) {
	content, err := c.cgroupFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(content))
	if text == "max" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}
