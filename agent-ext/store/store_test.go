// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

const otherMarker agentproto.Marker = "tes-fedcba9876543210"

// fakeWork takes as long as the test wants.
type fakeWork struct {
	// takes is how long prepare works, deaf how long it goes on when it is
	// cancelled, back how long going back takes.
	takes, deaf, back time.Duration
	err, backErr      error
	inUse             error
	panics            string

	prepared, undone int
}

func (w *fakeWork) prepare(ctx context.Context, marker agentproto.Marker, u *undo) (*Ready, error) {
	w.prepared++
	u.add("everything", func(context.Context) error {
		time.Sleep(w.back)
		if w.panics == "undo" {
			panic("undo")
		}
		if w.backErr == nil {
			w.undone++
		}
		return w.backErr
	})
	if w.panics == "prepare" {
		panic("prepare")
	}
	select {
	case <-time.After(w.takes):
	case <-ctx.Done():
		time.Sleep(w.deaf)
		return nil, fmt.Errorf("working: %w", context.Cause(ctx))
	}
	if w.err != nil {
		return nil, w.err
	}
	return &Ready{Mapping: string(marker)}, nil
}

func (w *fakeWork) unused() error { return w.inUse }

func (w *fakeWork) found(*undo) (agentproto.Marker, *Ready, error) { return "", nil, nil }

// with runs the test in pretended time.
func with(t *testing.T, w *fakeWork, test func(t *testing.T, s *Store)) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	synctest.Test(t, func(t *testing.T) {
		s, err := resume(w, time.Minute, logrus.NewEntry(log))
		require.NoError(t, err)
		test(t, s)
		time.Sleep(2 * time.Hour) // pretended: what the test left behind ends
		synctest.Wait()
	})
}

func requireState(t *testing.T, s *Store, want State) {
	t.Helper()
	got, _, _, _ := s.Status()
	require.Equal(t, want, got)
}

// outcome of a call that runs beside the test.
type outcome struct {
	ready *Ready
	err   error
}

func begin(ctx context.Context, s *Store, m agentproto.Marker) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		ready, err := s.Prepare(ctx, m)
		c <- outcome{ready, err}
	}()
	synctest.Wait()
	return c
}

func TestPrepareOnce(t *testing.T) {
	w := &fakeWork{takes: time.Second}
	with(t, w, func(t *testing.T, s *Store) {
		requireState(t, s, Absent)
		first, second := begin(t.Context(), s, someMarker), begin(t.Context(), s, someMarker)
		requireState(t, s, Preparing)
		a, b := <-first, <-second
		require.NoError(t, a.err)
		require.NoError(t, b.err)
		third, err := s.Prepare(t.Context(), someMarker)
		require.NoError(t, err)
		require.Same(t, a.ready, b.ready)
		require.Same(t, a.ready, third)
		require.Equal(t, 1, w.prepared)
		state, marker, ready, reason := s.Status()
		require.Equal(t, Prepared, state)
		require.Equal(t, someMarker, marker)
		require.Same(t, third, ready)
		require.NoError(t, reason)
	})
}

func TestOtherMarker(t *testing.T) {
	with(t, &fakeWork{takes: time.Second}, func(t *testing.T, s *Store) {
		running := begin(t.Context(), s, someMarker)
		_, err := s.Prepare(t.Context(), otherMarker)
		require.ErrorIs(t, err, ErrOtherMarker)
		require.ErrorIs(t, s.Release(t.Context(), otherMarker), ErrOtherMarker)
		require.NoError(t, (<-running).err)
		_, err = s.Prepare(t.Context(), otherMarker)
		require.ErrorIs(t, err, ErrOtherMarker)
		require.ErrorIs(t, s.Release(t.Context(), otherMarker), ErrOtherMarker)
		requireState(t, s, Prepared)
		require.NoError(t, s.Release(t.Context(), someMarker))
		_, err = s.Prepare(t.Context(), otherMarker)
		require.NoError(t, err)
	})
}

func TestFailureIsUndoneAndRetried(t *testing.T) {
	w := &fakeWork{err: errBroken}
	with(t, w, func(t *testing.T, s *Store) {
		_, err := s.Prepare(t.Context(), someMarker)
		require.ErrorIs(t, err, errBroken)
		require.Equal(t, 1, w.undone)
		requireState(t, s, Absent)
		w.err = nil
		_, err = s.Prepare(t.Context(), otherMarker)
		require.NoError(t, err)
	})
}

func TestUndoFails(t *testing.T) {
	stuck := errors.New("stuck")
	w := &fakeWork{err: errBroken, backErr: stuck}
	with(t, w, func(t *testing.T, s *Store) {
		_, err := s.Prepare(t.Context(), someMarker)
		require.ErrorIs(t, err, errBroken)
		require.ErrorContains(t, err, "stuck")
		state, marker, _, reason := s.Status()
		require.Equal(t, Failed, state)
		require.Equal(t, someMarker, marker)
		require.ErrorIs(t, reason, stuck)

		for _, m := range []agentproto.Marker{someMarker, otherMarker} {
			_, err = s.Prepare(t.Context(), m)
			require.ErrorIs(t, err, ErrDirty)
		}
		require.ErrorIs(t, s.Release(t.Context(), someMarker), ErrDirty)
		requireState(t, s, Failed)

		w.backErr, w.err = nil, nil
		require.NoError(t, s.Release(t.Context(), someMarker))
		requireState(t, s, Absent)
		_, err = s.Prepare(t.Context(), someMarker)
		require.NoError(t, err)
	})
}

// The last caller's deadline ends the work, and is told when that is undone.
func TestLastCallerLeaves(t *testing.T) {
	w := &fakeWork{takes: time.Hour, back: time.Second}
	with(t, w, func(t *testing.T, s *Store) {
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		long, cancelLong := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancelLong()
		began := time.Now()
		a, b := begin(short, s, someMarker), begin(long, s, someMarker)
		require.ErrorIs(t, (<-a).err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(began))
		requireState(t, s, Preparing)
		require.ErrorIs(t, (<-b).err, context.DeadlineExceeded)
		require.Equal(t, 21*time.Second, time.Since(began))
		requireState(t, s, Absent)
		require.Equal(t, 1, w.undone)
	})
}

func TestOwnLimit(t *testing.T) {
	with(t, &fakeWork{takes: time.Hour}, func(t *testing.T, s *Store) {
		began := time.Now()
		_, err := s.Prepare(t.Context(), someMarker)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "prepare_timeout")
		require.Equal(t, time.Minute, time.Since(began))
		requireState(t, s, Absent)
	})
}

// A device that hangs keeps no caller for ever.
func TestNothingEnds(t *testing.T) {
	with(t, &fakeWork{takes: time.Hour, deaf: time.Hour}, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := s.Prepare(ctx, someMarker)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second+undoTimeout, time.Since(began))
		requireState(t, s, Preparing)

		releasing, cancelRelease := context.WithTimeout(t.Context(), time.Second)
		defer cancelRelease()
		require.ErrorIs(t, s.Release(releasing, someMarker), context.DeadlineExceeded)
		joining, cancelJoin := context.WithTimeout(t.Context(), time.Second)
		defer cancelJoin()
		_, err = s.Prepare(joining, someMarker)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A caller that comes while a cancelled attempt is being undone gets one of its
// own.
func TestCancelledAttemptIsNotJoined(t *testing.T) {
	w := &fakeWork{takes: time.Minute / 2, back: time.Second}
	with(t, w, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		left := begin(ctx, s, someMarker)
		cancel()
		synctest.Wait()
		second := begin(t.Context(), s, someMarker)
		require.ErrorIs(t, (<-left).err, context.Canceled)
		require.NoError(t, (<-second).err)
		require.Equal(t, 2, w.prepared)
		require.Equal(t, 1, w.undone)
	})
}

// Work that succeeds although it was cancelled is undone all the same.
func TestCancelledAtTheLastMoment(t *testing.T) {
	w := &fakeWork{}
	with(t, w, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancelCause(t.Context())
		a := &attempt{marker: someMarker, cancel: cancel, done: make(chan struct{})}
		s.current = a
		cancel(ErrReleased)
		require.False(t, s.commit(ctx, a, &Ready{}))
		require.False(t, a.finished())
		s.current = nil
	})
}

func TestReleaseWhilePreparing(t *testing.T) {
	w := &fakeWork{takes: time.Minute / 2, back: time.Second}
	with(t, w, func(t *testing.T, s *Store) {
		running := begin(t.Context(), s, someMarker)
		require.NoError(t, s.Release(t.Context(), someMarker))
		require.ErrorIs(t, (<-running).err, ErrReleased)
		require.Equal(t, 1, w.undone)
		requireState(t, s, Absent)
		require.NoError(t, s.Release(t.Context(), someMarker))
	})
}

func TestReleaseInUse(t *testing.T) {
	w := &fakeWork{inUse: errBroken}
	with(t, w, func(t *testing.T, s *Store) {
		_, err := s.Prepare(t.Context(), someMarker)
		require.NoError(t, err)
		require.ErrorIs(t, s.Release(t.Context(), someMarker), errBroken)
		requireState(t, s, Prepared)
		w.inUse = nil
		require.NoError(t, s.Release(t.Context(), someMarker))
	})
}

// A release goes on without its caller, others wait for it.
func TestReleaseTakesTime(t *testing.T) {
	w := &fakeWork{back: 10 * time.Second}
	with(t, w, func(t *testing.T, s *Store) {
		_, err := s.Prepare(t.Context(), someMarker)
		require.NoError(t, err)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Release(short, someMarker), context.DeadlineExceeded)
		state, _, _, reason := s.Status()
		require.Equal(t, Failed, state)
		require.ErrorContains(t, reason, "being released")
		// Prepare waits, then works anew; a further Release joins first.
		second := make(chan error, 1)
		go func() { second <- s.Release(t.Context(), someMarker) }()
		_, err = s.Prepare(t.Context(), otherMarker)
		require.NoError(t, err)
		err = <-second
		if err != nil { // it looked again after the new preparation
			require.ErrorIs(t, err, ErrOtherMarker)
		}
		require.Equal(t, 2, w.prepared)
	})
}

func TestPanicsAreContained(t *testing.T) {
	w := &fakeWork{panics: "prepare"}
	with(t, w, func(t *testing.T, s *Store) {
		_, err := s.Prepare(t.Context(), someMarker)
		require.ErrorContains(t, err, "please report")
		require.Equal(t, 1, w.undone)
		requireState(t, s, Absent)

		w.panics = "undo"
		_, err = s.Prepare(t.Context(), someMarker)
		require.NoError(t, err)
		require.Error(t, s.Release(t.Context(), someMarker))
		requireState(t, s, Failed)
		w.panics = ""
		require.NoError(t, s.Release(t.Context(), someMarker))
	})
}

func TestStop(t *testing.T) {
	w := &fakeWork{takes: time.Minute / 2, back: time.Second}
	with(t, w, func(t *testing.T, s *Store) {
		running := begin(t.Context(), s, someMarker)
		require.NoError(t, s.Stop(t.Context()))
		require.ErrorIs(t, (<-running).err, ErrStopping)
		require.Equal(t, 1, w.undone)

		// A call that was on its way.
		_, err := s.Prepare(t.Context(), someMarker)
		require.ErrorIs(t, err, ErrStopping)
		requireState(t, s, Absent)
	})
}

func TestStopKeepsAStoreThatIsReady(t *testing.T) {
	with(t, &fakeWork{takes: time.Second}, func(t *testing.T, s *Store) {
		_, err := s.Prepare(t.Context(), someMarker)
		require.NoError(t, err)
		require.NoError(t, s.Stop(t.Context()))
		requireState(t, s, Prepared)
	})
}

func TestStopIsBounded(t *testing.T) {
	with(t, &fakeWork{takes: time.Minute / 2, deaf: time.Hour}, func(t *testing.T, s *Store) {
		running := begin(t.Context(), s, someMarker)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Stop(ctx), context.DeadlineExceeded)
		<-running
	})
}

// Nothing is begun for a caller who has gone before it was his turn.
func TestNothingForACallerWhoHasGone(t *testing.T) {
	w := &fakeWork{}
	with(t, w, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Prepare(ctx, someMarker)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, w.undone)
		requireState(t, s, Absent)
	})
}

// leftWork is what an earlier process left.
type leftWork struct {
	fakeWork
	marker agentproto.Marker
	ready  *Ready
	err    error
}

func (w *leftWork) found(u *undo) (agentproto.Marker, *Ready, error) {
	u.add("everything", func(context.Context) error {
		w.undone++
		return nil
	})
	return w.marker, w.ready, w.err
}

func TestResume(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	entry := logrus.NewEntry(log)

	w := &leftWork{marker: someMarker, ready: &Ready{Mapping: "m"}}
	s, err := resume(w, time.Minute, entry)
	require.NoError(t, err)
	ready, err := s.Prepare(t.Context(), someMarker)
	require.NoError(t, err)
	require.Same(t, w.ready, ready)
	require.Zero(t, w.prepared)
	require.NoError(t, s.Release(t.Context(), someMarker))
	require.Equal(t, 1, w.undone)

	w = &leftWork{marker: someMarker, err: errBroken}
	s, err = resume(w, time.Minute, entry)
	require.NoError(t, err)
	requireState(t, s, Failed)
	_, err = s.Prepare(t.Context(), someMarker)
	require.ErrorIs(t, err, ErrDirty)
	require.NoError(t, s.Release(t.Context(), someMarker))
	require.Equal(t, 1, w.undone)
	requireState(t, s, Absent)

	_, err = resume(&leftWork{err: errBroken}, time.Minute, entry)
	require.ErrorIs(t, err, errBroken)
}
