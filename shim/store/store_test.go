// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/hostdev"
)

// recorder stands for everything outside: it writes down what it was asked for
// and does what its answers say.
type recorder struct {
	file string

	mu      sync.Mutex
	calls   []string
	markers []string
	answers map[string]func(ctx context.Context) error
	// status answers the guest's Status; nil is a store without anything.
	status func(context.Context, *agentv1.StatusRequest) (*agentv1.StatusResponse, error)
	// opened are the device files that were handed out.
	opened []*os.File
}

func (r *recorder) call(ctx context.Context, name string) error {
	r.mu.Lock()
	r.calls = append(r.calls, name)
	answer := r.answers[name]
	r.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(ctx)
}

func (r *recorder) answer(name string, do func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[name] = do
}

func (r *recorder) took() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *recorder) Open(hostdev.Number, uint64) (*os.File, error) {
	if err := r.call(context.Background(), "open"); err != nil {
		return nil, err
	}
	f, err := os.Open(r.file)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = append(r.opened, f)
	return f, nil
}

func (r *recorder) Find(ctx context.Context, _ string) (VM, Guest, error) {
	return r, guestRecorder{r}, r.call(ctx, "find")
}

func (r *recorder) Attach(ctx context.Context, dev *os.File, marker agentproto.Marker) error {
	r.mu.Lock()
	r.markers = append(r.markers, string(marker))
	r.mu.Unlock()
	if _, err := dev.Stat(); err != nil {
		return err
	}
	return r.call(ctx, "attach")
}

func (r *recorder) Detach(ctx context.Context, marker agentproto.Marker) error {
	r.note(string(marker))
	return r.call(ctx, "detach")
}

// Ended is true once the answer to "ended" is an error.
func (r *recorder) Ended(ctx context.Context) bool { return r.call(ctx, "ended") != nil }

func (r *recorder) End(ctx context.Context) error { return r.call(ctx, "end") }

func (r *recorder) note(marker string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.markers = append(r.markers, marker)
}

type guestRecorder struct{ *recorder }

func (g guestRecorder) Version(ctx context.Context, _ *agentv1.VersionRequest) (*agentv1.VersionResponse, error) {
	return &agentv1.VersionResponse{Protocol: agentproto.ProtocolVersion}, g.call(ctx, "version")
}

func (g guestRecorder) Prepare(ctx context.Context, r *agentv1.PrepareRequest) (*agentv1.PrepareResponse, error) {
	g.note(r.GetMarker())
	return &agentv1.PrepareResponse{Steps: []*agentv1.Step{{Name: "mkfs"}}}, g.call(ctx, "prepare")
}

func (g guestRecorder) Status(ctx context.Context, r *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	if g.status == nil {
		return &agentv1.StatusResponse{}, nil
	}
	return g.status(ctx, r)
}

func (g guestRecorder) Release(ctx context.Context, r *agentv1.ReleaseRequest) (*agentv1.ReleaseResponse, error) {
	g.note(r.GetMarker())
	return &agentv1.ReleaseResponse{}, g.call(ctx, "release")
}

var (
	limits = config.Timeouts{Find: 10 * time.Second, Attach: 20 * time.Second, Prepare: 60 * time.Second, Undo: 30 * time.Second, HungDisk: time.Minute}
	disk   = hostdev.Number{Major: 253, Minor: 0}
	other  = hostdev.Number{Major: 253, Minor: 1}
)

func newStore(t *testing.T) (*Store, *recorder, *logtest.Hook) {
	t.Helper()
	r := &recorder{file: filepath.Join(t.TempDir(), "disk"), answers: map[string]func(context.Context) error{}}
	require.NoError(t, os.WriteFile(r.file, nil, 0o600))
	log, hook := logtest.NewNullLogger()
	log.SetOutput(io.Discard)
	s := New(Options{SandboxID: "sandbox", Timeouts: limits, Finder: r, Opener: r, Log: logrus.NewEntry(log)})
	return s, r, hook
}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func failing(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// requireClosed checks that our side holds no device any more.
func (r *recorder) requireClosed(t *testing.T) {
	t.Helper()
	for _, f := range r.opened {
		require.ErrorIs(t, f.Close(), os.ErrClosed)
	}
}

func TestStepsInOrder(t *testing.T) {
	s, r, _ := newStore(t)
	require.NoError(t, s.Ensure(t.Context(), disk, "c1"))
	require.Equal(t, []string{"open", "find", "version", "attach", "prepare"}, r.took())
	require.Len(t, r.markers, 2)
	require.Equal(t, r.markers[0], r.markers[1])
	r.requireClosed(t)

	require.NoError(t, s.Ensure(t.Context(), disk, "c2"))
	require.NoError(t, s.Check())
	require.ErrorIs(t, s.Ensure(t.Context(), other, "c3"), ErrOtherDevice)
	s.Refuse("c4", errors.New("two entries"))
	require.NoError(t, s.Check(), "a store that is ready stays ready")
	require.NoError(t, s.Close())
	require.Empty(t, r.took(), "neither a second call nor the end does anything to it")
}

// Each step's failure undoes the steps before it, and no others, backwards.
func TestUndoInReverse(t *testing.T) {
	broken := errors.New("broken")
	for step, want := range map[string][]string{
		"open":    {"open"},
		"find":    {"open", "find"},
		"version": {"open", "find", "version"},
		"attach":  {"open", "find", "version", "attach", "detach"},
		"prepare": {"open", "find", "version", "attach", "prepare", "release", "detach"},
	} {
		t.Run(step, func(t *testing.T) {
			s, r, _ := newStore(t)
			require.NoError(t, s.Check())
			r.answer(step, failing(broken))
			require.ErrorIs(t, s.Ensure(t.Context(), disk, "c1"), broken)
			require.Equal(t, want, r.took())
			r.requireClosed(t)
			require.ErrorIs(t, s.Check(), ErrNotReady)
			require.ErrorIs(t, s.Check(), broken)

			// A retry has a marker of its own, and may be on another device.
			used := r.markers
			r.answer(step, nil)
			require.NoError(t, s.Ensure(t.Context(), other, "c2"))
			require.Equal(t, []string{"open", "find", "version", "attach", "prepare"}, r.took())
			for _, marker := range used {
				require.Equal(t, used[0], marker)
				require.NotEqual(t, marker, r.markers[len(r.markers)-1])
			}
			require.NoError(t, s.Check())
			require.NoError(t, s.Close())
		})
	}
}

// What was not undone is undone later, where it stopped, before all else.
func TestUndoGoesOnWhereItStopped(t *testing.T) {
	s, r, _ := newStore(t)
	r.answer("prepare", failing(errors.New("mkfs failed")))
	r.answer("detach", failing(errors.New("guest holds on")))
	err := s.Ensure(t.Context(), disk, "c1")
	require.ErrorContains(t, err, "mkfs failed")
	require.ErrorIs(t, err, ErrLeftover)
	require.Equal(t, []string{"open", "find", "version", "attach", "prepare", "release", "detach"}, r.took())

	require.ErrorIs(t, s.Ensure(t.Context(), disk, "c1"), ErrLeftover)
	require.Equal(t, []string{"detach"}, r.took())
	first := r.markers[0]
	require.Equal(t, first, r.markers[len(r.markers)-1])
	require.ErrorContains(t, s.Close(), "taking the disk out")

	r.answer("prepare", nil)
	r.answer("detach", nil)
	require.ErrorIs(t, s.Ensure(t.Context(), disk, "c1"), ErrClosed)
}

// A virtual machine that ended in the middle takes its store along; one that
// only doesn't answer keeps its disk.
func TestReleaseInAMachineThatHasEnded(t *testing.T) {
	for name, test := range map[string]struct {
		ended error
		calls []string
	}{
		"ended":  {errors.New("yes"), []string{"release", "ended", "detach"}},
		"silent": {nil, []string{"release", "ended"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r, _ := newStore(t)
			r.answer("prepare", failing(errors.New("connection reset")))
			r.answer("release", failing(errors.New("no such device")))
			r.answer("ended", failing(test.ended))
			err := s.Ensure(t.Context(), disk, "c1")
			require.ErrorIs(t, err, ErrNoAnswer)
			require.Equal(t, test.ended == nil, errors.Is(err, ErrLeftover), err)
			require.Equal(t, test.calls, r.took()[5:])
		})
	}
}

// An agent extension that is killed while it prepares is not there for the undo
// either. The user reads both; the error is the first.
func TestFailedUndoDoesNotChangeTheReason(t *testing.T) {
	s, r, _ := newStore(t)
	r.answer("prepare", failing(errors.New("ttrpc: closed")))
	r.answer("release", failing(fmt.Errorf("%w: nobody listens", ErrNoAgent)))
	err := s.Ensure(t.Context(), disk, "c1")
	require.ErrorIs(t, err, ErrNoAnswer)
	require.ErrorIs(t, err, ErrLeftover)
	require.NotErrorIs(t, err, ErrNoAgent)
	require.ErrorContains(t, err, "nobody listens")
}

func TestReleaseOfWhatTheGuestNeverHad(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.Unimplemented} {
		s, r, _ := newStore(t)
		r.answer("prepare", failing(status.Error(code, "no such store")))
		r.answer("release", failing(status.Error(code, "no such store")))
		err := s.Ensure(t.Context(), disk, "c1")
		require.ErrorContains(t, err, "no such store")
		require.NotErrorIs(t, err, ErrLeftover)
		require.Equal(t, "detach", r.calls[len(r.calls)-1])
		require.NoError(t, s.Close())
	}
}

// Every limit, in a time that is only pretended: each hanging step ends after
// its own, and with it the waiting.
func TestLimits(t *testing.T) {
	for step, limit := range map[string]time.Duration{
		"find": limits.Find, "version": limits.Find, "attach": limits.Attach, "prepare": limits.Prepare,
	} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r, _ := newStore(t)
				r.answer(step, hang)
				began := time.Now()
				err := s.Ensure(context.Background(), disk, "c1")
				require.Equal(t, limit, time.Since(began))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				var timeout *TimeoutError
				require.ErrorAs(t, err, &timeout)
				require.Equal(t, step, timeout.Step)
				require.ErrorContains(t, err, limit.String())
				require.NoError(t, s.Close())
			})
		})
	}
}

// A device whose driver hangs is not waited for, and not kept when it comes.
func TestHangingDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		r.answer("open", func(context.Context) error { time.Sleep(time.Hour); return nil })
		began := time.Now()
		err := s.Ensure(context.Background(), disk, "c1")
		require.Equal(t, limits.Find, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "driver does not answer")
		require.Equal(t, []string{"open"}, r.took())

		r.answer("open", nil)
		require.NoError(t, s.Ensure(context.Background(), disk, "c1"))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, r.opened, 2)
		r.requireClosed(t)
		require.NoError(t, s.Close())
	})
}

// A kubelet that tries for days must not use up the process's threads.
func TestADeviceThatHangsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		r.answer("open", func(context.Context) error { time.Sleep(time.Hour); return nil })
		for range maxHanging {
			require.ErrorContains(t, s.Ensure(context.Background(), disk, "c1"), "driver does not answer")
		}
		r.took()
		for range 3 {
			err := s.Ensure(context.Background(), disk, "c1")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "4 earlier attempts")
			require.Empty(t, r.took(), "no further open")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		r.answer("open", nil)
		require.NoError(t, s.Ensure(context.Background(), disk, "c1"), "the disk is back")
		r.requireClosed(t)
		require.NoError(t, s.Close())
	})
}

func TestUndoHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		r.answer("attach", failing(errors.New("broken")))
		r.answer("detach", hang)
		began := time.Now()
		err := s.Ensure(context.Background(), disk, "c1")
		require.Equal(t, limits.Undo, time.Since(began))
		require.ErrorContains(t, err, "broken")
		require.ErrorIs(t, err, ErrLeftover)
		require.Error(t, s.Close())
	})
}

// Undoing isn't cut short by the end of the sandbox, only by its own limit.
func TestCloseWaitsForTheUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		r.answer("prepare", hang)
		r.answer("release", func(ctx context.Context) error {
			select {
			case <-time.After(limits.Undo / 2):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		result := make(chan error, 1)
		go func() { result <- s.Ensure(context.Background(), disk, "c1") }()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Close())
		require.Equal(t, limits.Undo/2, time.Since(began))
		require.ErrorIs(t, <-result, ErrClosed)
		calls := r.took()
		require.Equal(t, []string{"release", "detach"}, calls[len(calls)-2:])
		r.requireClosed(t)
	})
}

func TestWaitersLeaveAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		r.answer("attach", func(context.Context) error { time.Sleep(limits.Attach / 2); return nil })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := s.Ensure(ctx, disk, "c1")
		require.ErrorIs(t, err, ErrPreparing)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `step "attach", after 1s`)
		require.ErrorIs(t, s.Check(), ErrNotReady)
		s.Refuse("c4", errors.New("two entries"))

		require.NoError(t, s.Ensure(context.Background(), disk, "c2"))
		require.NoError(t, s.Check(), "what was refused meanwhile doesn't count")
		require.Equal(t, []string{"open", "find", "version", "attach", "prepare"}, r.took())
		require.NoError(t, s.Close())
	})
}

// The log says which step took how long, for whom, and nothing secret is in it.
func TestLog(t *testing.T) {
	s, r, hook := newStore(t)
	require.NoError(t, s.Ensure(t.Context(), disk, "c1"))
	var steps []any
	for _, line := range hook.AllEntries() {
		require.Equal(t, "sandbox", line.Data["sandbox"])
		require.Equal(t, agentproto.ImageStore, line.Data["store"])
		require.Equal(t, "c1", line.Data["container"])
		require.Contains(t, line.Data, "took")
		if step, ok := line.Data["step"]; ok {
			steps = append(steps, step)
		}
	}
	require.Equal(t, []any{"open", "find", "version", "attach", "guest: mkfs", "prepare"}, steps)
	require.Equal(t, agentproto.Marker(r.markers[0]), hook.LastEntry().Data["marker"])
	require.NoError(t, s.Close())
}
