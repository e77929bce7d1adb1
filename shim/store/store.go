// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/metrics"
)

// Options are what a Store needs to know and to use.
type Options struct {
	// SandboxID is the pod's sandbox.
	SandboxID string
	// MinimumSize is the smallest usable disk, in bytes.
	MinimumSize uint64
	// Timeouts bound the steps.
	Timeouts config.Timeouts
	Finder   Finder
	Opener   Opener
	// LateStore is what to do when other containers came first; warn if empty.
	LateStore config.LateStore
	// Metrics may be nil.
	Metrics *metrics.Node
	Log     *logrus.Entry
}

// Store is the sandbox's one trusted store. Once ready it stays ready: it ends
// with the virtual machine, not with the container that asked for it.
type Store struct {
	Options

	// life ends with Close.
	life context.Context
	end  context.CancelCauseFunc
	// attempts are the preparations that still run, undoing included, and who
	// looks whether the disk hangs.
	attempts sync.WaitGroup

	mu sync.Mutex
	// ready and running exclude each other.
	ready   bool
	running *attempt
	// asked says that a container has asked for the store, whatever came of it.
	asked bool
	// before are the containers that were let through until then. They don't
	// change afterwards.
	before forerunners
	// device is the one that is ready or being prepared.
	device hostdev.Number
	// vm and guest have the store that is ready.
	vm    VM
	guest Guest
	// watching says that somebody looks whether the disk hangs.
	watching bool
	// refused is why the store is not ready though somebody asked for it.
	refused error

	// undo takes back what the running attempt did, or what an earlier one left
	// behind. Only the running attempt touches it.
	undo undoStack

	// hanging counts the opens that did not end in time and still go on.
	hanging atomic.Int32
}

// New makes the store of a sandbox that nobody has asked for yet.
func New(o Options) *Store {
	o.Log = o.Log.WithFields(logrus.Fields{"sandbox": o.SandboxID, "store": agentproto.ImageStore})
	if o.LateStore == "" {
		o.LateStore = config.LateWarn
	}
	s := &Store{Options: o}
	s.life, s.end = context.WithCancelCause(context.Background())
	return s
}

// Ensure returns when the store is ready on that device: at once if it is, with
// the running preparation's end if there is one, and otherwise with that of a
// new one. Another device than the one that is ready or being prepared is
// ErrOtherDevice.
//
// The end of ctx ends the waiting, not the preparation.
func (s *Store) Ensure(ctx context.Context, device hostdev.Number, container string) error {
	a, err := s.join(device, container)
	if a == nil {
		return err
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return fmt.Errorf("%w (%s); the preparation goes on, and the next attempt to start the container joins it: %w", ErrPreparing, a.progress(), ctx.Err())
	}
}

// join finds the attempt to wait for. Neither attempt nor error: it is ready.
func (s *Store) join(device hostdev.Number, container string) (*attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask(container)
	busy := s.ready || s.running != nil
	switch {
	case busy && s.device != device:
		return nil, fmt.Errorf("%w: it is on block device %s, and this container asks for it on %s; use the same volume for all of the pod's %s devices",
			ErrOtherDevice, s.device, device, agentproto.ImageStore)
	case busy:
		return s.running, nil
	case s.life.Err() != nil:
		return nil, context.Cause(s.life)
	}
	if err := s.checkOrder(device); err != nil {
		s.refused = err
		return nil, err
	}
	return s.begin(device, container), nil
}

// begin starts an attempt. The caller holds mu.
func (s *Store) begin(device hostdev.Number, container string) *attempt {
	a := &attempt{
		device: device,
		log:    s.Log.WithFields(logrus.Fields{"container": container, "device": device.String()}),
		began:  time.Now(),
		done:   make(chan struct{}),
	}
	s.running, s.device = a, device
	s.attempts.Go(func() { s.finish(a, s.prepare(a)) })
	return a
}

// finish makes the outcome known, to the store first: whoever is told by done
// must find it there.
func (s *Store) finish(a *attempt, err error) {
	took := time.Since(a.began).Round(time.Millisecond)
	if err != nil {
		a.log.WithError(err).WithField("took", took).Error("the trusted store could not be prepared")
	} else {
		a.log.WithField("took", took).Info("the trusted store is ready")
		s.Metrics.Add(metrics.StoresPrepared, "")
	}
	s.mu.Lock()
	s.running, s.ready, s.refused = nil, err == nil, err
	s.vm, s.guest = a.vm, a.guest
	s.mu.Unlock()
	a.err = err
	close(a.done)
}

// Check says whether a container that doesn't ask for the store may start. It
// may not while the store was asked for and isn't ready: the container's image
// would go into the guest's memory instead, unseen.
func (s *Store) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check()
}

// check is Check for who holds mu.
func (s *Store) check() error {
	switch {
	case s.running != nil:
		return fmt.Errorf("%w: it is being prepared (%s); this container can start when it is ready", ErrNotReady, s.running.progress())
	case s.refused != nil:
		return fmt.Errorf("%w until a retry of the container with the trusted store has prepared it; the last attempt failed: %w", ErrNotReady, s.refused)
	}
	return nil
}

// Device is the block device that the store is on. None where it isn't ready.
func (s *Store) Device() (device hostdev.Number, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.device, s.ready
}

// Refuse notes that a container asked for the store in a way that can't be
// met, so that later containers don't start without it.
func (s *Store) Refuse(container string, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask(container)
	if !s.ready && s.running == nil {
		s.refused = reason
	}
}

// Close ends a preparation that still runs and waits until it has been undone,
// which the time limits bound. A store that is ready stays as it is: it ends
// with the virtual machine.
func (s *Store) Close() error {
	s.mu.Lock()
	s.end(ErrClosed)
	s.mu.Unlock()
	s.attempts.Wait()
	if len(s.undo) > 0 {
		return fmt.Errorf("ending the trusted store of sandbox %s: %w; it ends with the virtual machine: %s", s.SandboxID, ErrLeftover, s.undo)
	}
	return nil
}
