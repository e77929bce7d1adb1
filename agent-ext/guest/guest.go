// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package guest is what the agent extension asks of the guest image and of its
// own process before it serves.
package guest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"golang.org/x/sys/unix"
)

// CheckTools says what programs the guest image lacks, at start and not at the
// first pod: cryptsetup, and a mkfs for each file system that a store has.
func CheckTools(c config.Config) error {
	tools := map[string]string{"cryptsetup": c.Tools.Cryptsetup}
	for _, s := range c.Stores {
		key, path := c.Tools.Mkfs(s.Profile.FileSystem)
		tools[key] = path
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(tools)) {
		if err := unix.Access(tools[key], unix.X_OK); err != nil {
			errs = append(errs, fmt.Errorf("tools.%s: %s cannot be run (%w); add it to the guest image or correct agent.toml", key, tools[key], err))
		}
	}
	return errors.Join(errs...)
}

// Harden keeps this process's memory out of core dumps and away from other
// processes (prctl(2), PR_SET_DUMPABLE), also those that it starts (RLIMIT_CORE).
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	return nil
}

// NotifyReady tells systemd that connections are accepted (sd_notify(3)).
// Without systemd it does nothing.
func NotifyReady() (err error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = conn.Write([]byte("READY=1"))
	return err
}
