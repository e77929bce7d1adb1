// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/shim/hostdev"
)

const (
	soakPods = 200
	// soakWarm pods come first, until pools, caches and QEMU's heap have their
	// size.
	soakWarm = 20
	// soakHeap is what 200 pods may leave in our heap in bytes; 4 KiB each would
	// be 800 KiB.
	soakHeap = 400 << 10
	// soakQEMU is what they may leave in QEMU in KiB, whose heap is not ours to
	// collect.
	soakQEMU = 4 << 10
)

// soak is what there is at one moment: of this process, and of QEMU.
type soak struct {
	goroutines, descriptors int
	heap                    uint64
	theirDescriptors, kib   int
	nodes                   int
}

func measure(t *testing.T, q *qemu) soak {
	t.Helper()
	// Twice: what has finalizers goes with the second collection.
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", q.cmd.Process.Pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(memory), "Anonymous:")
	require.True(t, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return soak{
		goroutines: runtime.NumGoroutine(), descriptors: countFDs(t, os.Getpid()), heap: m.HeapAlloc,
		theirDescriptors: countFDs(t, q.cmd.Process.Pid), kib: kib, nodes: len(q.disks(t)),
	}
}

// more says whether there is more of what is counted one by one.
func (s soak) more(than soak) bool {
	return s.goroutines > than.goroutines || s.descriptors > than.descriptors || s.theirDescriptors > than.theirDescriptors
}

func countFDs(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	return len(entries)
}

// TestSoakOfStores: 200 sandboxes ask for a store on a real disk in a real QEMU,
// each with a first attempt that fails and is undone, a second one that works
// and a container that joins it. Then the sandbox ends. Nothing grows.
func TestSoakOfStores(t *testing.T) {
	if raceDetector {
		t.Skip("needs a test without the race detector, which has memory of its own: make unit runs it so")
	}
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	p.guest.set(func(g *fakeGuest) { g.vm = nil })
	q := startQEMU(t, p)
	config := t.TempDir()
	var before soak
	for i := range soakWarm + soakPods {
		if i == soakWarm {
			before = measure(t, q)
		}
		soakSandbox(t, p, q, disk, config)
	}
	after := measure(t, q)
	// What a closed connection had ends a moment later.
	for until := time.Now().Add(20 * time.Second); after.more(before); after = measure(t, q) {
		require.False(t, time.Now().After(until), "before %+v, after %+v", before, after)
		time.Sleep(10 * time.Millisecond)
	}
	require.Zero(t, after.nodes)
	require.False(t, disk.claimed(t))
	require.Less(t, after.heap, before.heap+soakHeap)
	require.Less(t, after.kib, before.kib+soakQEMU)
	t.Logf("summary: soak: %d stores in a real QEMU, each refused once: descriptors %+d, goroutines %+d, heap %+d KiB; QEMU: nodes %+d, descriptors %+d, memory %+d KiB",
		soakPods, after.descriptors-before.descriptors, after.goroutines-before.goroutines, (int64(after.heap)-int64(before.heap))>>10,
		after.nodes-before.nodes, after.theirDescriptors-before.theirDescriptors, after.kib-before.kib)
}

// soakSandbox is a sandbox's life. QEMU and the guest are the same for all, so
// that what one leaves adds up.
func soakSandbox(t *testing.T, p *pod, q *qemu, disk loop, config string) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(new(strings.Builder))
	interceptor, err := newInterceptor(Options{
		SandboxID: sandboxID, Settings: settings("/dev/trusted_store", unhurried), RunRoot: p.runRoot, Log: logrus.NewEntry(log),
	}, finder{Finder: q.finder}, hostdev.Host{})
	require.NoError(t, err)
	create := func(devices ...string) error {
		text := fmt.Sprintf(`{"linux":{"devices":[%s]}}`, strings.Join(devices, ","))
		require.NoError(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o600))
		return interceptor.Create(context.Background(), "container", config)
	}
	p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(status.Error(codes.Internal, "mkfs failed")) })
	requireRefused(t, create(entry(disk.n)), codes.Internal, "mkfs failed")
	p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
	require.NoError(t, create(entry(disk.n)))
	require.NoError(t, create(entry(disk.n)))
	require.NoError(t, create())
	require.NoError(t, interceptor.Close())

	// Its virtual machine ends: the guest forgets, and QEMU has nothing of it.
	var marker string
	p.guest.set(func(g *fakeGuest) { marker, g.prepared = g.prepared, "" })
	sandbox, err := q.finder.Find(t.Context(), sandboxID)
	require.NoError(t, err)
	require.NoError(t, sandbox.Detach(t.Context(), marker))
}
