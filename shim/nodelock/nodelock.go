// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package nodelock is the lock of a folder that the shims of a node share
// (package rundir). What is in the folder is left to whoever takes the lock.
package nodelock

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Name is the lock's file in the folder.
	Name = "lock"
	// Limit is how long the other shims may keep the lock. Each has it for a
	// millisecond or two of its processor's time, which on a busy node is not the
	// clock's, and nobody waits in line.
	Limit = 3 * time.Second
	pause = 5 * time.Millisecond
)

// Take waits for the lock, which closing the file lets go of, as does the
// process's end. Not by a call that blocks: a shim that was stopped with the
// lock in its hand must not stop all others for ever. The error is
// unix.EWOULDBLOCK when Limit has passed.
func Take(dir *os.Root) (*os.File, error) {
	lock, err := dir.OpenFile(Name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock in %s: %w", dir.Name(), err)
	}
	for until := time.Now().Add(Limit); ; time.Sleep(pause) {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return lock, nil
		}
		retry := errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR)
		if !retry || time.Now().After(until) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", dir.Name(), err), lock.Close())
		}
	}
}
