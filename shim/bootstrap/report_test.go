// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"os"
	"testing"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/shim/report"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// ask asks a sandbox's serving process for its status.
func (n *node) ask(id string) error {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := report.Ask(ctx, rundir.StatusPath(n.path("run"), id))
	return err
}

// The serving process says what it is, and no more after the end.
func TestTheStatusOfASandbox(t *testing.T) {
	n := newNode(t)
	address := n.mustStart("sandbox", "sandbox")
	told, err := report.Ask(t.Context(), rundir.StatusPath(n.path("run"), "sandbox"))
	require.NoError(t, err)
	require.Equal(t, report.Sandbox{
		Format: report.Format, ID: "sandbox", Shim: "test", Namespace: "default", Pod: "pod",
		Store: report.Store{State: "none", Since: time.Unix(0, 0)},
	}, withLocalTime(told))

	n.mustStart("further", "sandbox")
	require.NoError(t, n.ask("sandbox"), "a further container joins and changes nothing")
	_ = n.client(address).Call(t.Context(), service, "Shutdown", &task2.ShutdownRequest{}, &task2.StateResponse{}) // ends within the call
	n.awaitNothing("the sandbox ended")
	require.ErrorIs(t, n.ask("sandbox"), report.ErrNoSocket)
}

func withLocalTime(s report.Sandbox) report.Sandbox {
	s.Store.Since = s.Store.Since.Local()
	return s
}

// A serving process that was killed, and one that was stopped, are told apart.
func TestTheStatusOfALostSandbox(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	pids := n.processes("ours")
	require.Len(t, pids, 1)
	require.NoError(t, unix.Kill(pids[0], unix.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := report.Ask(ctx, rundir.StatusPath(n.path("run"), "sandbox"))
	require.ErrorIs(t, err, report.ErrSilent)
	require.NoError(t, unix.Kill(pids[0], unix.SIGCONT))
	require.NoError(t, n.ask("sandbox"))
	n.kill("ours")
	require.ErrorIs(t, n.ask("sandbox"), report.ErrEnded)
	_, err = n.delete("sandbox")
	require.NoError(t, err)
	n.awaitNothing("delete")
}

// A place where no socket can be made costs the status, not the sandbox; and
// callers whose answer takes its time hold up no Create.
func TestTheStatusIsInNobodysWay(t *testing.T) {
	n := newNode(t)
	n.env = append(n.env, "TEST_HOOK=silent guest")
	address := n.mustStart("sandbox", "sandbox")
	answered := make(chan error)
	for range 5 {
		go func() { answered <- n.ask("sandbox") }()
	}
	soakCreate(t, n.client(address), "c")
	for range 5 {
		require.NoError(t, <-answered)
	}

	other := newNode(t)
	require.NoError(t, os.MkdirAll(rundir.StatusPath(other.path("run"), "sandbox")+"/in the way", 0o700))
	require.NoError(t, os.Chmod(other.path("run"), 0o700))
	soakCreate(t, other.client(other.mustStart("sandbox", "sandbox")), "c")
	require.Error(t, other.ask("sandbox"))
	_, err := other.delete("sandbox")
	require.NoError(t, err)
}
