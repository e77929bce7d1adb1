// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/agentproto/traceparent"
	"github.com/kata-tes/kata-tes/shim/nodelock"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// TestManyShims: many processes write at once, and each line is whole.
func TestManyShims(t *testing.T) {
	r, hook := newRecorder(t)
	const shims, creates = 16, 20
	var all sync.WaitGroup
	for i := range shims {
		all.Go(func() {
			of := New(r.Options)
			for k := range creates {
				s := of.Begin(traceparent.NewContext(t.Context(), caller), fmt.Sprintf("%d of %d", k, i))
				s.End(nil)
				of.Flush()
			}
			of.Close()
		})
	}
	all.Wait()
	require.Empty(t, hook.AllEntries())
	names := map[string]bool{}
	for _, line := range r.lines(t, FileName) {
		for name := range decode(t, line) {
			names[name] = true
		}
	}
	require.Len(t, names, shims*creates)
}

// The node gives so much of its memory to traces and no more; what is newest
// is kept.
func TestRotation(t *testing.T) {
	r, _ := newRecorder(t)
	line := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	for i := range 20 {
		line[0] = 'a' + byte(i)
		require.NoError(t, appendLine(r.Root, line))
		entries, err := os.ReadDir(rundir.TracesPath(r.Root))
		require.NoError(t, err)
		var size int64
		for _, entry := range entries {
			info, err := entry.Info()
			require.NoError(t, err)
			size += info.Size()
		}
		require.LessOrEqual(t, size, int64(2*maxFile))
	}
	require.Equal(t, "q", r.lines(t, FileName)[0][:1])
	require.Equal(t, "m", r.lines(t, OldFileName)[0][:1])
	require.Len(t, r.lines(t, FileName), 4)

	require.NoError(t, appendLine(r.Root, []byte(strings.Repeat("y", 2*maxFile)+"\n")), "one line is never cut")
	require.Len(t, r.lines(t, FileName), 1)
}

// A shim that was killed within a line spoils that line alone.
func TestALineThatWasCut(t *testing.T) {
	r, _ := newRecorder(t)
	require.NoError(t, appendLine(r.Root, []byte(`{"half`)))
	require.NoError(t, appendLine(r.Root, []byte("{}\n")))
	require.NoError(t, appendLine(r.Root, []byte("{}\n")))
	require.Equal(t, []string{"{\"half\n", "{}\n", "{}"}, r.lines(t, FileName))
}

// Whatever the umask: others read the files, and nobody writes.
func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		old := unix.Umask(mask)
		r, _ := newRecorder(t)
		err := appendLine(r.Root, []byte("{}\n"))
		unix.Umask(old)
		require.NoError(t, err)
		for path, mode := range map[string]os.FileMode{
			r.Root: 0o711 | os.ModeDir, r.path(""): 0o755 | os.ModeDir, r.path(FileName): 0o644, r.path(nodelock.Name): 0o600,
		} {
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode(), path)
		}
	}
}

// Another shim that keeps the lock, or a folder that isn't ours, loses spans and
// nothing else, and the log says so.
func TestWhatCannotBeWritten(t *testing.T) {
	r, hook := newRecorder(t)
	dir, err := rundir.OpenTraces(r.Root)
	require.NoError(t, err)
	held, err := nodelock.Take(dir)
	require.NoError(t, err)
	span := func() {
		r.Begin(traceparent.NewContext(t.Context(), caller), "Create").End(nil)
		r.Flush()
	}
	ended := make(chan struct{})
	go func() { defer close(ended); span() }()
	select {
	case <-ended:
	case <-time.After(nodelock.Limit / 2):
		t.Fatal("it waits for the lock")
	}
	r.Close()
	require.NoFileExists(t, r.path(FileName))
	require.ErrorIs(t, hook.LastEntry().Data[logrus.ErrorKey].(error), unix.EWOULDBLOCK)
	require.NoError(t, held.Close())
	require.NoError(t, dir.Close())
	span()
	r.Close()
	require.Len(t, r.lines(t, FileName), 1)

	require.NoError(t, os.RemoveAll(r.Root))
	require.NoError(t, os.WriteFile(r.Root, nil, 0o600))
	span()
	r.Close()
	require.ErrorContains(t, hook.LastEntry().Data[logrus.ErrorKey].(error), "not a folder")
	require.Len(t, hook.AllEntries(), 2)
}

// Spans that nobody flushes don't pile up.
func TestSpansAreBounded(t *testing.T) {
	r, hook := newRecorder(t)
	for range 2 * maxPending {
		r.Begin(traceparent.NewContext(t.Context(), caller), "Create").End(nil)
	}
	require.Len(t, r.pending, maxPending)
	r.Close()
	require.Equal(t, maxPending, hook.LastEntry().Data["dropped"])
	require.Empty(t, r.pending)
	require.Len(t, r.lines(t, FileName), maxPending/maxInLine)
}
