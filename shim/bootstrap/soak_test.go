// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	soakPods = 200
	// soakWarm rounds come first, until the heap of the serving process has been
	// collected more than once.
	soakWarm = 1000
	// soakGrowth is what a serving process may have grown by in KiB. A leak of
	// one buffer of 4 KiB for each pod would be 800.
	soakGrowth = 600
	// soakThreads: Go keeps threads that it once needed; a leak would be one for
	// each pod.
	soakThreads = 20
)

// state is what a process has at one moment.
type state struct{ descriptors, threads, kib int }

func stateOf(t *testing.T, pid int) state {
	t.Helper()
	folder := filepath.Join(proc, strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(folder, "fd"))
	require.NoError(t, err)
	threads, err := os.ReadDir(filepath.Join(folder, "task"))
	require.NoError(t, err)
	memory, err := os.ReadFile(filepath.Join(folder, "smaps_rollup"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(memory), "Anonymous:")
	require.True(t, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return state{len(fds), len(threads), kib}
}

// TestSoakOfProcesses: 200 pods come and go by the processes that containerd
// starts, with a further container, a refused one and one whose caller hangs up
// each, while one pod lives on and has a container more each time. Nothing of
// the 200 is left, and the one is as it was.
func TestSoakOfProcesses(t *testing.T) {
	if raceDetector {
		t.Skip("needs a test without the race detector, whose memory grows with each goroutine that ever was: make unit runs it so")
	}
	n := newNode(t)
	long := n.mustStart("long", "long")
	pids := n.processes("ours")
	require.Len(t, pids, 1)
	for range soakWarm {
		soakRound(t, long, "warm")
	}
	soakPod(t, n, "warm", long)
	before, goroutines, descriptors := stateOf(t, pids[0]), runtime.NumGoroutine(), stateOf(t, os.Getpid()).descriptors
	for i := range soakPods {
		soakPod(t, n, fmt.Sprintf("pod-%d", i), long)
	}
	n.await("the connections of the pod that lives have gone", func() bool {
		return stateOf(t, pids[0]).descriptors <= before.descriptors && runtime.NumGoroutine() <= goroutines
	})
	after := stateOf(t, pids[0])
	require.Equal(t, pids, n.processes("ours"))
	require.Len(t, n.processes("inner"), 1)
	require.Len(t, n.list("s"), 2, "sockets of the pod that lives")
	require.Equal(t, []string{"long"}, n.list("run"))
	require.LessOrEqual(t, stateOf(t, os.Getpid()).descriptors, descriptors)
	require.Less(t, after.threads, before.threads+soakThreads)
	require.Less(t, after.kib, before.kib+soakGrowth, "the serving process grows with each call")
	t.Logf("summary: soak: %d pods by processes, none left; of one that lives on: descriptors %+d, threads %+d, memory %+d KiB",
		soakPods, after.descriptors-before.descriptors, after.threads-before.threads, after.kib-before.kib)
}

// soakPod is a pod's life, and a further container of the long one.
func soakPod(t *testing.T, n *node, id, long string) {
	t.Helper()
	ours := n.mustStart(id, id)
	soakRound(t, ours, id)
	soakRound(t, long, id)
	for _, sandbox := range []string{id, "long"} {
		require.NoError(t, n.ask(sandbox))
	}
	require.Equal(t, ours, n.mustStart(id+"-further", id))
	_, err := n.delete(id + "-further")
	require.NoError(t, err)
	c := dialShim(t, ours)
	// The inner shim ends within this call, as Kata's does.
	_ = c.Call(t.Context(), service, "Shutdown", &task2.ShutdownRequest{}, &emptypb.Empty{})
	require.NoError(t, c.Close())
	_, err = n.delete(id)
	require.NoError(t, err)
	for _, name := range []string{id, id + "-further"} {
		require.NoError(t, os.RemoveAll(n.path("bundles", name)))
	}
	n.await("the pod's processes have ended", func() bool { return len(n.processes("all")) == 2 })
}

// soakRound is a container that is created, one that is refused, and a caller
// who hangs up.
func soakRound(t *testing.T, address, id string) {
	t.Helper()
	c := dialShim(t, address)
	soakCreate(t, c, id)
	hangUp(t, address)
	require.NoError(t, c.Close())
}

func soakCreate(t *testing.T, c *ttrpc.Client, id string) {
	t.Helper()
	for _, container := range []string{id, "refused"} {
		err := c.Call(t.Context(), service, "Create", &task2.CreateTaskRequest{ID: container, Bundle: "/b"}, &task2.CreateTaskResponse{})
		want := codes.OK
		if container == "refused" {
			want = codes.FailedPrecondition
		}
		require.Equal(t, want, status.Code(err), "%v", err)
	}
}

// hangUp begins a call and does not wait for its answer.
func hangUp(t *testing.T, address string) {
	t.Helper()
	c := dialShim(t, address)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Call(t.Context(), service, "State", &task2.StateRequest{ID: "x"}, &task2.StateResponse{}) // answered or not
	}()
	require.NoError(t, c.Close())
	select {
	case <-ended:
	case <-time.After(limit):
		t.Fatal("a call outlives its connection")
	}
}
