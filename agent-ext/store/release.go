// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/kata-tes/kata-tes/agentproto"
)

// Release undoes the preparation with that marker. A running one is cancelled
// first. No store is a success. Where somebody uses the store, nothing changes.
func (s *Store) Release(ctx context.Context, marker agentproto.Marker) error {
	for {
		outcome, ending, err := s.beginRelease(marker)
		switch {
		case err != nil:
			return err
		case outcome == nil && ending == nil:
			return nil
		}
		select {
		case err := <-outcome:
			return err
		case <-ending:
		case <-ctx.Done():
			return fmt.Errorf("releasing the store, which goes on: %w", context.Cause(ctx))
		}
	}
}

// beginRelease looks at the store: released (nothing), something that ends
// first, or the outcome of the release that it begins.
func (s *Store) beginRelease(marker agentproto.Marker) (outcome <-chan error, ending <-chan struct{}, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.current
	switch {
	case a == nil:
		return nil, nil, nil
	case a.marker != marker:
		return nil, nil, fmt.Errorf("%w: %s", ErrOtherMarker, a.marker)
	case !a.finished():
		a.end(ErrReleased)
		return nil, a.done, nil
	case a.releasing != nil:
		return nil, a.releasing, nil
	}
	told := make(chan error, 1)
	a.releasing = make(chan struct{})
	// Not bound to the caller: half a release helps nobody.
	go func() { told <- s.release(a) }()
	return told, nil, nil
}

// release goes back and says what the store is like then.
func (s *Store) release(a *attempt) error {
	log := s.log.WithField("marker", a.marker)
	intact, err := s.letGo(a)

	s.mu.Lock()
	defer s.mu.Unlock()
	close(a.releasing)
	a.releasing = nil
	switch {
	case err == nil:
		s.current = nil
		log.Info("the store is released")
		return nil
	case intact:
		log.WithError(err).Warn("the store stays")
		return fmt.Errorf("the store stays as it is: %w", err)
	}
	log.WithError(err).Error("releasing failed half-way")
	a.dirty, a.ready = err, nil
	return fmt.Errorf("%w: %w", ErrDirty, err)
}

// letGo goes back: entirely or not at all for a store that is ready, as far as
// it can for one that is not.
func (s *Store) letGo(a *attempt) (intact bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	if a.dirty != nil {
		return false, guard(func() error { return a.undo.run(ctx) })
	}
	if err := s.work.unused(); err != nil {
		return true, err
	}
	err = guard(func() (err error) {
		intact, err = a.undo.tryRun(ctx)
		return err
	})
	return intact, err
}

// Stop cancels a preparation that runs and waits until it is undone; none begins
// afterwards. A store that is ready stays: containers work on it.
func (s *Store) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	a := s.current
	var ending <-chan struct{}
	switch {
	case a == nil:
	case !a.finished():
		a.end(ErrStopping)
		ending = a.done
	case a.releasing != nil:
		ending = a.releasing
	}
	s.mu.Unlock()
	if ending == nil {
		return nil
	}
	select {
	case <-ending:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("a preparation is not undone"), context.Cause(ctx))
	}
}
