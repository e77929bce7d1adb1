// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// scanInterval is the pause until the SCSI hosts are asked for the disk
	// again: the host may hotplug it after it has called.
	scanInterval = 250 * time.Millisecond
	// lookInterval bounds how long a lost uevent (the kernel drops them when
	// the socket's buffer is full) delays the next look.
	lookInterval = 500 * time.Millisecond
)

// Events tells when a block device has come or gone.
type Events interface {
	// C is sent to after each event. Events that come while nobody listens
	// count as one.
	C() <-chan struct{}
	Close() error
}

// Find waits for the disk with the marker and gives its name in /sys/block. Two
// of them are ErrUnfit; none until ctx ends is ErrNotFound.
//
// listen opens the events before the first look, so that nothing can come
// unnoticed in between.
func (s System) Find(ctx context.Context, marker string, listen func() (Events, error)) (name string, err error) {
	events, err := listen()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	look := time.NewTicker(lookInterval)
	defer look.Stop()
	scan := s.startScanning(ctx)
	for {
		names, err := s.matching(marker)
		if err != nil {
			return "", err
		}
		switch len(names) {
		case 0:
		case 1:
			return names[0], nil
		default:
			return "", fmt.Errorf("%w: %d disks carry the marker %s: %v", ErrUnfit, len(names), marker, names)
		}
		select {
		case <-events.C():
		case <-look.C:
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("%w: %s: %w", ErrNotFound, marker, context.Cause(ctx)), scan.lastError())
		}
	}
}
