// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"
)

// children are the processes that init started. Whatever else ends is an
// orphan that it inherits.
type children struct {
	log   *guestLog
	mu    sync.Mutex
	names map[int]string
}

func newChildren(log *guestLog) *children {
	return &children{log: log, names: map[int]string{}}
}

// start starts a program whose output goes to the log.
func (c *children) start(name, path string, args ...string) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}

	// Held until the name is known, so that reap can't come first.
	c.mu.Lock()
	defer c.mu.Unlock()
	err = cmd.Start()
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		return fmt.Errorf("starting %s: %w", name, err)
	}
	c.names[cmd.Process.Pid] = name
	go c.log.copy(name, reader)
	return nil
}

// reap waits for children and orphans until there are none.
func (c *children) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return
		default:
			c.ended(pid, status)
		}
	}
}

func (c *children) ended(pid int, status unix.WaitStatus) {
	c.mu.Lock()
	name, ok := c.names[pid]
	delete(c.names, pid)
	c.mu.Unlock()
	switch {
	case !ok:
	case status.Signaled():
		c.log.print(fmt.Sprintf("init: %s was killed by signal %d (%v)", name, status.Signal(), status.Signal()))
	default:
		c.log.print(fmt.Sprintf("init: %s ended with exit status %d", name, status.ExitStatus()))
	}
}
