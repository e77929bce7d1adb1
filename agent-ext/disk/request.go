// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// scanAddress is where the host puts its disk: channel 0, target 255, unit 255.
// Kata's own disks are Kata's to scan for.
const scanAddress = "0 255 255"

// scanning asks every SCSI host for a look at our address, again and again.
// Kata boots its guests with scsi_mod.scan=none, under which virtio-scsi's
// hotplug event brings no disk (Linux, __scsi_add_device): without asking, a
// SCSI disk never comes.
//
// It has a goroutine of its own, because the kernel answers when the (virtual)
// hardware has answered, which nobody can hurry.
type scanning struct {
	mu  sync.Mutex
	err error
}

// startScanning begins at once and ends with ctx.
func (s System) startScanning(ctx context.Context) *scanning {
	scan := &scanning{}
	go func() {
		again := time.NewTicker(scanInterval)
		defer again.Stop()
		for {
			err := s.requestScan()
			scan.mu.Lock()
			scan.err = err
			scan.mu.Unlock()
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return scan
}

// lastError is what the last request met.
func (s *scanning) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s System) requestScan() error {
	hosts, err := filepath.Glob(filepath.Join(s.sysfs(), "class", "scsi_host", "host*", "scan"))
	if err != nil {
		return fmt.Errorf("looking for SCSI hosts: %w", err)
	}
	var errs []error
	for _, scan := range hosts {
		if err := os.WriteFile(scan, []byte(scanAddress), 0); err != nil {
			errs = append(errs, fmt.Errorf("asking for a scan: %w", err))
		}
	}
	return errors.Join(errs...)
}
