// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// made makes the control plane of what was built, without starting it.
func made(t *testing.T, log io.Writer) *ControlPlane {
	t.Helper()
	build, err := filepath.Abs("../../build")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(build, "parts", "kubernetes", ".key")); err != nil {
		t.Skip("needs Kubernetes: functional-tests/build.sh kubernetes etcd")
	}
	c, err := New(build, log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(), "closing twice is no error") })
	return c
}

// TestLife: it serves its own admin and nobody else, nobody but this machine can
// reach it, and nothing of it is left.
func TestLife(t *testing.T) {
	c := made(t, t.Output())
	require.NoError(t, c.Start(t.Context()))
	require.NoError(t, c.get(t.Context(), "/api/v1/nodes"))
	c.tokens.admin = "guessed"
	require.ErrorContains(t, c.get(t.Context(), "/api/v1/nodes"), "401")

	var pids []int
	for _, program := range c.running {
		pids = append(pids, program.process.PID())
	}
	require.Len(t, pids, 4)
	open := listeners(t, pids)
	require.Len(t, open, 3, "etcd's two, the API server's: %v", open)
	for _, address := range open {
		require.True(t, strings.HasPrefix(address, "0100007F:"), "%s is not 127.0.0.1", address)
	}

	require.NoError(t, c.Close())
	for _, pid := range pids {
		require.ErrorIs(t, unix.Kill(pid, 0), unix.ESRCH)
	}
	require.NoDirExists(t, c.folder)
}

// TestInterrupted: an end in the middle of the start leaves nothing either.
func TestInterrupted(t *testing.T) {
	c := made(t, t.Output())
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	// As soon as the database has a process.
	ready := func(context.Context) error {
		cancel(interrupted)
		return errors.New("not yet")
	}
	err := c.start(ctx, "etcd", filepath.Join(c.parts, "etcd", "bin", "etcd"), c.etcdFlags(), ready)
	require.ErrorIs(t, err, interrupted)
	pid := c.running[0].process.PID()
	require.NoError(t, c.Close())
	require.ErrorIs(t, unix.Kill(pid, 0), unix.ESRCH)
	require.NoDirExists(t, c.folder)
}

// listeners are the local addresses, as the kernel writes them, at which one of
// the processes accepts connections.
func listeners(t *testing.T, pids []int) []string {
	t.Helper()
	sockets := map[string]bool{}
	for _, pid := range pids {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		require.NoError(t, err)
		for _, link := range links {
			// One that was closed meanwhile listens no more.
			if target, err := os.Readlink(link); err == nil {
				sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
			}
		}
	}
	var found []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6 here
		}
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			const listening = "0A" // TCP_LISTEN
			if fields := strings.Fields(line); len(fields) > 9 && fields[3] == listening && sockets[fields[9]] {
				found = append(found, fields[1])
			}
		}
	}
	return found
}
