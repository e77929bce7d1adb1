// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"path"
	"strconv"
	"strings"
	"time"
)

// process is the running containerd.
type process struct {
	pid int
	// environment is empty where it can't be read.
	environment map[string]string
	// started is when it was started; zero where it can't be known.
	started time.Time
}

// ticks is the unit of times in /proc, the same on all architectures that Kata
// runs on (USER_HZ; sysconf(3), _SC_CLK_TCK).
const ticks = 100

// findContainerd looks through the node's processes (proc(5)).
func (d *doctor) findContainerd() (process, error) {
	entries, err := d.tree.List("/proc")
	if err != nil {
		return process{}, unknownf("", "the node's processes can't be listed: %v", err)
	}
	seen := false
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry)
		if err != nil {
			continue
		}
		comm := d.proc(entry, "comm")
		seen = seen || comm != ""
		if comm == "containerd" {
			return process{pid: pid, environment: d.environmentOf(entry), started: d.startOf(entry)}, nil
		}
	}
	if !seen {
		return process{}, unknownf("run it on the node itself, or mount the node's /proc", "the node's processes can't be seen")
	}
	return process{}, wrongf("", "no process called containerd runs")
}

// proc is a file of a process; empty where it can't be read.
func (d *doctor) proc(parts ...string) string {
	content, err := d.tree.Read(path.Join(append([]string{"/proc"}, parts...)...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func (d *doctor) environmentOf(pid string) map[string]string {
	environment := map[string]string{}
	for _, variable := range strings.Split(d.proc(pid, "environ"), "\x00") {
		if name, value, ok := strings.Cut(variable, "="); ok {
			environment[name] = value
		}
	}
	return environment
}

// startOf is the node's boot and the process's start after it: the 22nd field
// of stat, the 20th after the name, which is in parentheses.
func (d *doctor) startOf(pid string) time.Time {
	stat := d.proc(pid, "stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const start = 19
	if len(fields) <= start {
		return time.Time{}
	}
	after, err := strconv.ParseInt(fields[start], 10, 64)
	if err != nil {
		return time.Time{}
	}
	for _, line := range strings.Split(d.proc("stat"), "\n") {
		if boot, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(boot), 10, 64)
			if err != nil {
				return time.Time{}
			}
			return time.Unix(seconds, 0).Add(time.Duration(after) * time.Second / ticks)
		}
	}
	return time.Time{}
}
