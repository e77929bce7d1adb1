// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
)

// undoTimeout is how much longer than its context Attach may take to undo
// itself: a little more than one command to a QEMU that hangs.
const undoTimeout = 15 * time.Second

// Attach hotplugs the block device f as a disk with the marker as its serial
// number. f is open for reading and writing, exclusively (O_EXCL) and O_DIRECT;
// QEMU gets a duplicate and with it the exclusive claim, so the caller closes f
// afterwards whatever the outcome. (A regular file works too, for tests.)
//
// When it fails, everything it did has been undone, also where QEMU's answer
// was lost; if not, the error is ErrLeftover as well. Undoing goes on for
// undoTimeout at most after ctx has ended.
func (s *Sandbox) Attach(ctx context.Context, f *os.File, marker string) error {
	err := s.attach(ctx, f, marker)
	var refused *qmp.Error
	if errors.As(err, &refused) {
		err = fmt.Errorf("%w; if a retry does not help, delete the pod and create it again", err)
	}
	if err != nil {
		return fmt.Errorf("hotplugging %s as %s into sandbox %s: %w", f.Name(), marker, s.id, err)
	}
	return nil
}

func (s *Sandbox) attach(ctx context.Context, f *os.File, marker string) error {
	if err := checkMarker(marker); err != nil {
		return err
	}
	driver, err := checkDescriptor(f)
	if err != nil {
		return err
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	m := machine{conn}
	place, err := m.prepare(ctx, marker)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	err = m.plug(ctx, f, driver, marker, place)
	// Before the undo: a monitor serves one client at a time.
	closeErr := conn.Close()
	if err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(err, s.undo(ctx, marker))
	}
	return nil
}

// prepare finds out without side effects whether and where the disk can go. A
// marker that is in use ends here, because the undo goes by the marker.
func (m machine) prepare(ctx context.Context, marker string) (place, error) {
	present, err := m.attachment(ctx, marker)
	if err != nil {
		return nil, err
	}
	if present.Marker != "" {
		return nil, ErrAttached
	}
	return m.choosePlace(ctx)
}

// plug makes descriptor, node and device, in that order. What it leaves behind
// on failure is the caller's to undo.
func (m machine) plug(ctx context.Context, f *os.File, driver, marker string, where place) error {
	set, err := m.addFD(ctx, f, marker)
	if err != nil {
		return err
	}
	if err := m.addNode(ctx, marker, driver, set); err != nil {
		return err
	}
	// The node has a duplicate of its own. (A paused QEMU says yes and keeps
	// the descriptor; Detach takes care of that.)
	if err := m.removeFD(ctx, set); err != nil {
		return err
	}
	return m.Execute(ctx, "device_add", where.device(marker), nil)
}

// addNode opens the descriptor as a block node with the marker's name.
//
// Linux AIO is the fastest way that every QEMU has for O_DIRECT; io_uring is
// often forbidden, by sysctl or in a container. Where AIO is missing or its
// contexts are used up (fs.aio-max-nr), threads do.
func (m machine) addNode(ctx context.Context, marker, driver string, set int64) error {
	err := m.Execute(ctx, "blockdev-add", node(marker, driver, set, "native"), nil)
	if err == nil || lost(err) {
		return err
	}
	return m.Execute(ctx, "blockdev-add", node(marker, driver, set, "threads"), nil)
}

func node(marker, driver string, set int64, aio string) map[string]any {
	cache := map[string]bool{
		// The host can't read what it caches; the guest caches for itself.
		"direct": true,
		// A store dies with its virtual machine. Nothing in it has to survive a
		// power failure, so that a guest's flush has nothing to wait for.
		"no-flush": true,
	}
	return map[string]any{
		"driver":    "raw",
		"node-name": marker,
		"cache":     cache,
		// A discard would tell the host which blocks are free, and what the
		// guest writes is encrypted and never zero.
		"discard":       "ignore",
		"detect-zeroes": "off",
		"file": map[string]any{
			"driver":    driver,
			"node-name": marker + "-file",
			"filename":  fdsetPath(set),
			"aio":       aio,
			"cache":     cache,
			"discard":   "ignore",
		},
	}
}

// undo takes back whatever came to be of an attempt. It asks QEMU instead of
// remembering: the last answer may have been lost.
func (s *Sandbox) undo(ctx context.Context, marker string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.undoTimeout)
	defer cancel()
	if err := s.Detach(ctx, marker); err != nil {
		return fmt.Errorf("%w: %w", ErrLeftover, err)
	}
	return nil
}
