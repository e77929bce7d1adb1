// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
)

// prepare is one attempt: steps 2 to 6 of design.md. Whatever of it was done is
// undone when one of them fails.
func (s *Store) prepare(a *attempt) error {
	if err := s.clearUp(a); err != nil {
		return err
	}
	err := s.attach(a)
	if err == nil {
		err = s.encrypt(a)
	}
	if err != nil {
		return s.rollBack(a, err)
	}
	// From here on the store is the sandbox's, and ends with it.
	s.undo = nil
	return nil
}

// attach gives the host's device to the virtual machine.
//
// Our own claim on the device ends here: from now on QEMU's duplicate holds it,
// and the kubelet must be able to unmap the volume when QEMU has ended.
func (s *Store) attach(a *attempt) (err error) {
	dev, err := s.open(a)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := dev.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("closing %s: %w", dev.Name(), closeErr))
		}
	}()
	if err := s.find(a); err != nil {
		return err
	}
	if err := s.greet(a); err != nil {
		return err
	}
	return s.hotplug(a, dev)
}

// maxHanging bounds how many opens of a device that hangs are left to themselves.
const maxHanging = 4

// open claims the host's device.
func (s *Store) open(a *attempt) (dev *os.File, err error) {
	err = a.run(s.life, "open", "find", s.Timeouts.Find, func(ctx context.Context) error {
		if dev, err = s.openWithin(ctx, a); err != nil {
			return err
		}
		if a.size, err = dev.Seek(0, io.SeekEnd); err != nil {
			return errors.Join(fmt.Errorf("asking block device %s for its size: %w", a.device, err), dev.Close())
		}
		return nil
	})
	return dev, err
}

// openWithin leaves a device whose driver hangs (a lost iSCSI path) to itself:
// no context ends an open. What it opens in the end is closed. Each such open
// keeps a thread of this process, so that the kubelet's retries, which go on for
// as long as the pod is there, may leave a few of them and no more.
func (s *Store) openWithin(ctx context.Context, a *attempt) (*os.File, error) {
	if n := s.hanging.Load(); n >= maxHanging {
		return nil, fmt.Errorf("opening block device %s: its driver has not answered %d earlier attempts; check the disk's connection to the node, then delete the pod and create it again: %w", a.device, n, context.DeadlineExceeded)
	}
	type result struct {
		dev *os.File
		err error
	}
	opened := make(chan result, 1)
	go func() {
		dev, err := s.Opener.Open(a.device, s.MinimumSize)
		opened <- result{dev, err}
	}()
	select {
	case r := <-opened:
		return r.dev, r.err
	case <-ctx.Done():
		s.hanging.Add(1)
		go func() {
			r := <-opened
			s.hanging.Add(-1)
			if r.err == nil {
				r.err = r.dev.Close()
			}
			a.log.WithError(r.err).Warn("a hanging block device has been opened too late and is closed again")
		}()
		return nil, fmt.Errorf("opening block device %s: its driver does not answer; check the disk's connection to the node: %w", a.device, ctx.Err())
	}
}

// find finds the virtual machine and the guest.
func (s *Store) find(a *attempt) error {
	return a.run(s.life, "find", "find", s.Timeouts.Find, func(ctx context.Context) (err error) {
		a.vm, a.guest, err = s.Finder.Find(ctx, s.SandboxID)
		return err
	})
}

// greet makes sure, before anything has a side effect, that the guest can do
// what it will be asked for.
func (s *Store) greet(a *attempt) error {
	return a.run(s.life, "version", "find", s.Timeouts.Find, func(ctx context.Context) error {
		version, err := a.guest.Version(ctx, &agentv1.VersionRequest{})
		if err != nil {
			return explainSilence(err)
		}
		return checkVersion(version)
	})
}

// hotplug attaches the disk under a marker that no other attempt has.
func (s *Store) hotplug(a *attempt, dev *os.File) error {
	a.mark(agentproto.NewMarker())
	vm, marker := a.vm, a.marker
	// Before the attach, because Detach doesn't mind a disk that isn't there,
	// and a failed attach may have left something.
	s.undo.push("taking the disk out of the virtual machine", func(ctx context.Context) error {
		return vm.Detach(ctx, marker)
	})
	return a.run(s.life, "attach", "attach", s.Timeouts.Attach, func(ctx context.Context) error {
		return vm.Attach(ctx, dev, marker)
	})
}

// encrypt has the guest make the store of the disk.
func (s *Store) encrypt(a *attempt) error {
	vm, guest, marker := a.vm, a.guest, a.marker
	// Before the call, because an answer may get lost, and Release doesn't mind
	// a store that isn't prepared. A guest that doesn't answer because its
	// virtual machine has ended has nothing to release any more.
	s.undo.push("taking the store back", func(ctx context.Context) error {
		err := release(ctx, guest, marker)
		if err != nil && vm.Ended(ctx) {
			return nil
		}
		return err
	})
	return a.run(s.life, "prepare", "prepare", s.Timeouts.Prepare, func(ctx context.Context) error {
		began := time.Now()
		answer, err := guest.Prepare(ctx, &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: string(marker)})
		call := time.Since(began)
		if err != nil {
			err = s.explainRefusal(err)
			a.noteGuestFailure(ctx, call, err)
			return err
		}
		a.noteGuestSteps(ctx, answer.GetSteps(), call, nil)
		return nil
	})
}

// explainRefusal tells the user which containers came before the store, where
// the guest may have their images in the store's place.
func (s *Store) explainRefusal(err error) error {
	err = explainAnswer("preparing the store", err)
	var refused *GuestError
	if errors.As(err, &refused) {
		// Nobody is added once the store was asked for.
		refused.Before = s.before.String()
	}
	return err
}
