// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps the state of a store in the guest: one preparation at a
// time, callers that join it, undo on failure, release. The specification is
// agentproto/v1/trusted_store.proto.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/sirupsen/logrus"
)

var (
	// ErrOtherMarker says that the store belongs to another disk.
	ErrOtherMarker = errors.New("the store is on another disk")
	// ErrDirty says that an earlier preparation could not be undone.
	ErrDirty = errors.New("an earlier preparation could not be undone")
	// ErrReleased says that Release came while the store was being prepared.
	ErrReleased = errors.New("the store was released while it was being prepared")
	// ErrStopping says that the agent extension ends.
	ErrStopping = errors.New("the guest agent extension ends")
)

// undoTimeout bounds going back after a failure.
const undoTimeout = 30 * time.Second

// Ready describes a store that is ready.
type Ready struct {
	Mapping     string
	MountPoints []string
	// Size of the mapping in bytes.
	Size uint64
	// Disk is the number of the disk below, MAJOR:MINOR.
	Disk  string
	Steps []Step
}

// Step is a part of a preparation and how long it took.
type Step struct {
	Name string
	Took time.Duration
}

// Store is one store.
type Store struct {
	work work
	// limit bounds a preparation, whatever its callers' deadlines.
	limit time.Duration
	log   *logrus.Entry

	mu sync.Mutex
	// current is nil while no disk belongs to the store.
	current *attempt
	// stopping: nothing new is begun any more.
	stopping bool
}

// work is what a store is made by; see pipeline.
type work interface {
	// prepare does all steps and registers the way back of each. On an error
	// the caller goes back.
	prepare(ctx context.Context, marker agentproto.Marker, u *undo) (*Ready, error)
	// unused says whether going back now would disturb nobody.
	unused() error
	// found looks for what an earlier process left and registers the ways back.
	// No marker: nothing. An error: it is not a store that is ready.
	found(u *undo) (agentproto.Marker, *Ready, error)
}

// Prepare makes the store on the disk with the marker, joins the preparation
// that is under way, or finds it done. When the last caller is gone, the
// preparation is cancelled and undone.
func (s *Store) Prepare(ctx context.Context, marker agentproto.Marker) (*Ready, error) {
	for {
		a, ending, err := s.join(ctx, marker)
		if err != nil {
			return nil, err
		}
		if a != nil {
			return s.await(ctx, a)
		}
		select {
		case <-ending:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the end of an earlier preparation: %w", context.Cause(ctx))
		}
	}
}

// join finds or begins the attempt. Where one is about to end, it gives the
// channel that says when.
func (s *Store) join(ctx context.Context, marker agentproto.Marker) (_ *attempt, ending <-chan struct{}, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.current
	switch {
	case s.stopping:
		return nil, nil, ErrStopping
	case a == nil && ctx.Err() != nil:
		// Not a byte is written for a caller who has gone.
		return nil, nil, fmt.Errorf("preparing the store: %w", context.Cause(ctx))
	case a == nil:
		return s.begin(ctx, marker), nil, nil
	case a.releasing != nil:
		return nil, a.releasing, nil
	case a.cancelled && !a.finished():
		return nil, a.done, nil
	case a.dirty != nil:
		return nil, nil, fmt.Errorf("%w, release it first: %w", ErrDirty, a.dirty)
	case a.marker != marker:
		return nil, nil, fmt.Errorf("%w: %s", ErrOtherMarker, a.marker)
	}
	a.waiting++
	return a, nil, nil
}

// begin starts an attempt. Its context is not the caller's: others may join.
func (s *Store) begin(ctx context.Context, marker agentproto.Marker) *attempt {
	limited, stop := context.WithTimeoutCause(context.WithoutCancel(ctx), s.limit,
		fmt.Errorf("the guest's prepare_timeout of %s passed: %w", s.limit, context.DeadlineExceeded))
	working, cancel := context.WithCancelCause(limited)
	a := &attempt{marker: marker, cancel: cancel, waiting: 1, done: make(chan struct{})}
	s.current = a
	go func() {
		defer stop()
		defer cancel(nil)
		s.run(working, a)
	}()
	return a
}

// await waits for the attempt's outcome.
func (s *Store) await(ctx context.Context, a *attempt) (*Ready, error) {
	select {
	case <-a.done:
	case <-ctx.Done():
		if !s.leave(a, context.Cause(ctx)) {
			return nil, fmt.Errorf("waiting for the preparation: %w", context.Cause(ctx))
		}
		// What was done is undone when the last caller hears of its deadline,
		// unless a device that hangs makes even that impossible.
		select {
		case <-a.done:
		case <-time.After(undoTimeout):
			return nil, fmt.Errorf("the preparation does not end: %w", context.Cause(ctx))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.err != nil && a.dirty != nil {
		return nil, fmt.Errorf("%w (and it could not be undone: %s)", a.err, a.dirty.Error())
	}
	return a.ready, a.err
}

// leave takes a caller out and says whether it was the last one, whose going
// ends the attempt.
func (s *Store) leave(a *attempt, cause error) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.waiting--
	if a.waiting > 0 || a.finished() {
		return false
	}
	a.end(cause)
	return true
}

// run works, and goes back where the work fails.
func (s *Store) run(ctx context.Context, a *attempt) {
	log := s.log.WithField("marker", a.marker)
	var ready *Ready
	err := guard(func() (err error) {
		ready, err = s.work.prepare(ctx, a.marker, &a.undo)
		return err
	})
	if err == nil && s.commit(ctx, a, ready) {
		log.WithField("steps", ready.Steps).Info("the store is ready")
		return
	}
	if err == nil {
		err = fmt.Errorf("preparing the store: %w", context.Cause(ctx))
	}
	log.WithError(err).Error("preparing the store failed")
	dirty := s.goBack(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	a.err, a.dirty = err, dirty
	if dirty == nil {
		s.current = nil
	}
	close(a.done)
}

// commit makes the attempt's success visible, unless it was cancelled at the
// last moment.
func (s *Store) commit(ctx context.Context, a *attempt, ready *Ready) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	a.ready = ready
	close(a.done)
	return true
}

func (s *Store) goBack(a *attempt) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	err := guard(func() error { return a.undo.run(ctx) })
	if err != nil {
		s.log.WithField("marker", a.marker).WithError(err).Error("undoing failed; Release tries again")
	}
	return err
}

// guard keeps a panic from ending the process, whose end would leave the work
// half done.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a mistake in the guest agent extension, please report it: %v", p)
		}
	}()
	return do()
}
