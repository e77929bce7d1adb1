// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/ocispec"
)

// gate is a fault that waits until it is opened.
func gate() (wait fault, entered <-chan struct{}, open func()) {
	in, out := make(chan struct{}), make(chan struct{})
	enter := sync.OnceFunc(func() { close(in) })
	return func(ctx context.Context) error {
		enter()
		select {
		case <-out:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, in, sync.OnceFunc(func() { close(out) })
}

func (p *pod) content(dir string) string {
	p.t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(p.t, err)
	return string(content)
}

// The life of the proposal's pod, with a sidecar that restarts.
func TestLife(t *testing.T) {
	disk, data := newLoop(t, 32*mebibyte), ocispec.Number{Major: 8, Minor: 16}
	p := newPod(t, unhurried)
	_, sandbox := p.bundle("sandbox")
	untouched := p.content(sandbox)
	require.NoError(t, p.interceptor.Create(t.Context(), sandboxID, sandbox))
	require.Equal(t, untouched, p.content(sandbox))

	id, sidecar := p.bundle("container", device("/dev/data", "b", data), entry(disk.n))
	require.NoError(t, p.interceptor.Create(t.Context(), id, sidecar))
	p.requireReady(disk)
	require.Contains(t, p.content(sidecar), `"devices":[`+device("/dev/data", "b", data)+`]`)

	id, app := p.bundle("container", device("/dev/data", "b", data))
	untouched = p.content(app)
	require.NoError(t, p.interceptor.Create(t.Context(), id, app))
	require.Equal(t, untouched, p.content(app))

	require.NoError(t, p.create(entry(disk.n)), "the sidecar restarts")
	require.NoError(t, p.interceptor.Create(t.Context(), id, sidecar), "its Create is repeated on the same bundle")
	require.Equal(t, 1, p.vm.attaches)
	require.Equal(t, 1, p.guest.prepares)
}

// The store's disk is nobody's under another name.
func TestStoreUnderAnotherPath(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	require.NoError(t, p.create(entry(disk.n)))
	err := p.create(device("/dev/data", "b", disk.n))
	require.Equal(t, codes.InvalidArgument, status.Code(err), err)
	require.ErrorContains(t, err, "/dev/data")
	require.NoError(t, p.create(device("/dev/data", "b", ocispec.Number{Major: 8, Minor: 16})))
}

// A store that nobody asks for costs nothing: neither the virtual machine nor
// the guest is looked for.
func TestWithoutAStore(t *testing.T) {
	p := newPod(t, unhurried)
	p.finder.set(failing(errors.New("nobody should look")), nil)
	require.NoError(t, p.create())
	require.NoError(t, p.create(`{"path":"/dev/data","type":"b","major":8,"minor":0}`))
}

// BenchmarkWithoutAStore is what we add to the Create of every container: the
// recorded config.json is read and not asked for anything.
func BenchmarkWithoutAStore(b *testing.B) {
	config, err := os.ReadFile("../ocispec/testdata/sidecar-config.json")
	require.NoError(b, err)
	dir := b.TempDir()
	require.NoError(b, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600))
	log := logrus.New()
	log.SetOutput(io.Discard)
	i, err := New(Options{SandboxID: sandboxID, Settings: settings("/dev/another", unhurried), RunRoot: b.TempDir(), Log: logrus.NewEntry(log)})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, i.Create(b.Context(), "container", dir))
	}
	require.NoError(b, i.Close())
}

func TestConcurrentCreates(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	for _, callers := range []int{2, 20} {
		t.Run(fmt.Sprint(callers), func(t *testing.T) {
			p := newPod(t, unhurried)
			type call struct{ id, dir string }
			calls := make([]call, callers)
			for i := range calls {
				calls[i].id, calls[i].dir = p.bundle("container", entry(disk.n))
			}
			errs := make([]error, callers)
			var running sync.WaitGroup
			for i, c := range calls {
				running.Go(func() { errs[i] = p.interceptor.Create(t.Context(), c.id, c.dir) })
			}
			running.Wait()
			for i, err := range errs {
				require.NoError(t, err)
				require.Contains(t, p.content(calls[i].dir), `"devices":[]`)
			}
			require.Equal(t, 1, p.vm.attaches)
			require.Equal(t, 1, p.guest.prepares)
			p.requireReady(disk)
		})
	}
}

// The same failure for all who waited, and none of them is the one to clean up.
func TestConcurrentCreatesFailTogether(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	wait, entered, open := gate()
	p.guest.set(func(g *fakeGuest) {
		g.onPrepare = func(ctx context.Context) error {
			if err := wait(ctx); err != nil {
				return err
			}
			return status.Error(codes.Internal, "mkfs failed")
		}
	})
	const callers = 20
	errs := make(chan error, callers)
	for range callers {
		id, dir := p.bundle("container", entry(disk.n))
		go func() { errs <- p.interceptor.Create(context.Background(), id, dir) }()
	}
	<-entered
	open()
	for range callers {
		requireRefused(t, <-errs, codes.Internal, "mkfs failed")
	}
	// Whoever came after the end began an attempt of its own; none has left
	// anything.
	p.requireUndone()
	require.False(t, disk.claimed(t))
	require.Equal(t, p.guest.prepares, p.guest.released)
}

// The kubelet gives up, goes on with the next container, and tries again: the
// preparation goes on, the next container is held back, the retry joins.
func TestKubeletGivesUpAndTriesAgain(t *testing.T) {
	disk, other := newLoop(t, 32*mebibyte), newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	wait, entered, open := gate()
	p.guest.set(func(g *fakeGuest) { g.onPrepare = wait })

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	requireRefused(t, p.createWith(ctx, entry(disk.n)), codes.DeadlineExceeded, "still being prepared", "joins it")
	<-entered
	requireRefused(t, p.create(), codes.FailedPrecondition, "being prepared", `step "prepare"`)
	requireRefused(t, p.create(entry(other.n)), codes.AlreadyExists, "another device")

	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	requireRefused(t, p.createWith(gone, entry(disk.n)), codes.Canceled, "still being prepared")

	retry := make(chan error, 1)
	id, dir := p.bundle("container", entry(disk.n))
	go func() { retry <- p.interceptor.Create(context.Background(), id, dir) }()
	open()
	require.NoError(t, <-retry)
	require.Contains(t, p.content(dir), `"devices":[]`)
	p.requireReady(disk)
	require.NoError(t, p.create())
	require.Equal(t, 1, p.vm.attaches)
	require.Equal(t, 1, p.guest.prepares)
}

// What can't be undone is kept, and nothing new is begun before it is undone.
func TestLeftover(t *testing.T) {
	for name, test := range map[string]struct {
		limits  config.Timeouts
		release fault
		detach  fault
		code    codes.Code
		words   string
	}{
		"release fails": {limits: unhurried, release: failing(status.Error(codes.Internal, "umount: busy")), code: codes.Internal, words: "umount: busy"},
		"release hangs": {limits: hurried, release: hang, code: codes.DeadlineExceeded, words: "releasing the store"},
		"detach fails":  {limits: unhurried, detach: failing(errors.New("the guest has not let go")), code: codes.Internal, words: "not let go"},
		"detach hangs":  {limits: hurried, detach: hang, code: codes.DeadlineExceeded, words: "taking the disk out"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newLoop(t, 32*mebibyte)
			p := newPod(t, test.limits)
			p.guest.set(func(g *fakeGuest) {
				g.onPrepare = failing(status.Error(codes.Internal, "mkfs failed"))
				g.onRelease = test.release
			})
			p.vm.set(nil, test.detach)

			err := p.create(entry(disk.n))
			require.ErrorContains(t, err, "mkfs failed")
			require.ErrorContains(t, err, "could not be undone")
			require.ErrorContains(t, err, test.words)
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, 1, p.vm.attached(), "an unreleased disk must not be taken away")
			requireRefused(t, p.create(), codes.FailedPrecondition, "mkfs failed", test.words)

			p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
			requireRefused(t, p.create(entry(disk.n)), test.code, "could not be undone", test.words, "delete the pod")
			require.Equal(t, 1, p.vm.attaches, "nothing new is begun")

			p.guest.set(func(g *fakeGuest) { g.onRelease = nil })
			p.vm.set(nil, nil)
			require.NoError(t, p.create(entry(disk.n)))
			require.Equal(t, 2, p.vm.attaches)
			p.requireReady(disk)
		})
	}
}

// An answer that got lost: the guest has the store, and we don't know it.
func TestLostAnswer(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	back := make(chan struct{})
	lose := endConnection(p, back)
	p.guest.set(func(g *fakeGuest) {
		g.onPrepare = func(ctx context.Context) error {
			p.vm.mu.Lock()
			defer p.vm.mu.Unlock()
			for marker := range p.vm.disks {
				g.set(func(g *fakeGuest) { g.prepared = string(marker) })
			}
			return lose(ctx)
		}
	})
	requireRefused(t, p.create(entry(disk.n)), codes.Unavailable, "does not answer")
	<-back
	p.requireUndone()
	p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
	require.NoError(t, p.create(entry(disk.n)))
	p.requireReady(disk)
}

// The end of the sandbox ends the preparation, undoes it and releases whoever
// waits; a store that is ready is left to the virtual machine.
func TestClose(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	wait, entered, _ := gate()
	p.guest.set(func(g *fakeGuest) { g.onPrepare = wait })
	waiting := make(chan error, 1)
	id, dir := p.bundle("container", entry(disk.n))
	go func() { waiting <- p.interceptor.Create(context.Background(), id, dir) }()
	<-entered
	require.NoError(t, p.interceptor.Close())
	requireRefused(t, <-waiting, codes.Unavailable, "shut down")
	p.requireUndone()
	require.False(t, disk.claimed(t))
	requireRefused(t, p.create(entry(disk.n)), codes.Unavailable, "shut down")

	p = newPod(t, unhurried)
	require.NoError(t, p.create(entry(disk.n)))
	require.NoError(t, p.interceptor.Close())
	require.NoError(t, p.interceptor.Close())
	p.requireReady(disk)
}

// Neither success nor any failure leaves a descriptor or a goroutine behind.
func TestNoLeaks(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, hurried)
	rounds := func(n int) {
		for range n {
			p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(status.Error(codes.Internal, "mkfs failed")) })
			require.Error(t, p.create(entry(disk.n)))
			p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
			p.vm.set(failing(errors.New("no")), nil)
			require.Error(t, p.create(entry(disk.n)))
			p.vm.set(nil, nil)
			p.port.serve(t, func(*ttrpc.Server) {})
			require.Error(t, p.create(entry(disk.n)))
			p.serve()
			p.finder.set(failing(errors.New("no")), nil)
			require.Error(t, p.create(entry(disk.n)))
			p.finder.set(nil, nil)
		}
	}
	rounds(1)
	before := inUse(t)
	rounds(10)
	// A leak would be there ten times; what only ends is a few.
	require.Eventually(t, func() bool { return inUse(t).within(before, 5) }, 10*time.Second, 10*time.Millisecond, "%+v became %+v", before, inUse(t))
	require.NoError(t, p.create(entry(disk.n)))
	require.Eventually(t, func() bool { return inUse(t).within(before, 5) }, 10*time.Second, 10*time.Millisecond, "%+v became %+v", before, inUse(t))
}

type resources struct{ files, goroutines int }

func inUse(t *testing.T) resources {
	t.Helper()
	return resources{files: openFiles(t), goroutines: runtime.NumGoroutine()}
}

func (r resources) within(before resources, more int) bool {
	return r.files <= before.files+more && r.goroutines <= before.goroutines+more
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
