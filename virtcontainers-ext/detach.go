// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
)

const (
	deviceDeleted = "DEVICE_DELETED"
	// maxConnections bounds how often Detach dials anew after a lost answer.
	maxConnections = 4
	// unplugInterval is how long the guest has before it is asked again: it may
	// have been busy, or not even looking, when it was asked first.
	unplugInterval = 2 * time.Second
	// inUseInterval is how often a node that is in use is tried again. QEMU has
	// no event for the end of the last request.
	inUseInterval = 20 * time.Millisecond
)

// Detach takes the disk out: device, block node and descriptors. It returns
// when QEMU holds nothing more of it, and so no claim on the host's device.
// A disk that is not there is a success.
//
// A SCSI disk vanishes from the guest at once, whatever the guest does with it.
// A virtio-blk disk needs the guest's consent (PCI hotplug): a guest that does
// not react ends in ErrGuestHolds, and the claim ends with the virtual machine.
// Where the virtual machine has ended, the error is ErrNoMonitor.
func (s *Sandbox) Detach(ctx context.Context, marker string) error {
	if err := checkMarker(marker); err != nil {
		return fmt.Errorf("taking a disk out of sandbox %s: %w", s.id, err)
	}
	for connection := 1; ; connection++ {
		broken, err := s.detach(ctx, marker)
		if err == nil {
			return nil
		}
		if !broken || connection == maxConnections || ctx.Err() != nil {
			return fmt.Errorf("taking %s out of sandbox %s: %w", marker, s.id, err)
		}
	}
}

// detach is one attempt on one connection. broken says that it was the
// connection that failed.
func (s *Sandbox) detach(ctx context.Context, marker string) (broken bool, err error) {
	conn, err := s.dial(ctx, deviceDeleted)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	m := machine{conn}
	for _, step := range []func(context.Context, string) error{m.removeDevice, m.removeNode, m.removeFDs} {
		if err := step(ctx, marker); err != nil {
			return m.Broken() != nil, err
		}
	}
	return false, nil
}

// removeDevice asks the guest to let go until the device is gone.
func (m machine) removeDevice(ctx context.Context, marker string) error {
	var refused error
	for asked := false; ; asked = true {
		devices, err := m.peripherals(ctx)
		if asked && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrGuestHolds, errors.Join(context.Cause(ctx), refused))
		}
		if err != nil || devices[marker] == "" {
			return err
		}
		// A refusal may only say that the guest was asked before or that the
		// device is gone meanwhile: the next look tells.
		refused = m.Execute(ctx, "device_del", map[string]string{"id": marker}, nil)
		if lost(refused) {
			return refused
		}
		if qmp.IsClass(refused, qmp.ClassDeviceNotFound) {
			continue
		}
		if err := m.awaitDeleted(ctx, marker); err != nil {
			return err
		}
	}
}

// lost says whether err leaves open what became of a command.
func lost(err error) bool {
	var refusal *qmp.Error
	return err != nil && !errors.As(err, &refusal)
}

// awaitDeleted waits for the device's end, but no longer than unplugInterval:
// whether it has ended, QEMU says better than an event.
func (m machine) awaitDeleted(ctx context.Context, marker string) error {
	waiting, cancel := context.WithTimeout(ctx, unplugInterval)
	defer cancel()
	_, err := m.Await(waiting, func(e qmp.Event) bool {
		var data struct{ Device string }
		return json.Unmarshal(e.Data, &data) == nil && data.Device == marker
	})
	if err != nil && waiting.Err() != nil && m.Broken() == nil {
		return nil
	}
	return err
}

// removeNode closes the host's device as soon as no request is on its way.
func (m machine) removeNode(ctx context.Context, marker string) error {
	again := time.NewTicker(inUseInterval)
	defer again.Stop()
	var refused error
	for {
		present, err := m.attachment(ctx, marker)
		if err != nil {
			return errors.Join(refused, err)
		}
		if !present.Node {
			return nil
		}
		refused = m.Execute(ctx, "blockdev-del", map[string]string{"node-name": marker}, nil)
		if refused == nil {
			continue
		}
		if lost(refused) {
			return refused
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(refused, context.Cause(ctx))
		}
	}
}

// removeFDs takes back the descriptors and looks whether QEMU gave them up.
func (m machine) removeFDs(ctx context.Context, marker string) error {
	before, err := m.attachment(ctx, marker)
	if err != nil {
		return err
	}
	for _, set := range before.FDSets {
		if err := m.removeFD(ctx, set); err != nil {
			return err
		}
	}
	after, err := m.attachment(ctx, marker)
	if err != nil || after.Marker == "" {
		return err
	}
	running, err := m.running(ctx)
	if err != nil {
		return err
	}
	if !running {
		return fmt.Errorf("%w: QEMU keeps the host's device open until it is resumed; resume it and try again", ErrPaused)
	}
	return fmt.Errorf("QEMU still has %+v", after)
}
