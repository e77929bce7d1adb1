// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Requests are what the guest has asked of a disk.
type Requests struct {
	// Waiting have no answer yet.
	Waiting uint64
	// Answered are all others since the disk appeared, failed ones included.
	Answered uint64
}

// Columns of a disk's stat (Linux, Documentation/block/stat.rst).
const (
	statReads    = 0
	statWrites   = 4
	statInFlight = 8
	// Since Linux 4.18 and 5.5.
	statDiscards = 11
	statFlushes  = 15
)

// Requests reads the counters of the disk with a number (MAJOR:MINOR). It does
// not touch the disk, which may hang.
func (s System) Requests(number string) (Requests, error) {
	path := filepath.Join(s.sysfs(), "dev/block", number, "stat")
	text, err := os.ReadFile(path) //nolint:gosec // the number is our own
	if err != nil {
		return Requests{}, fmt.Errorf("reading the counters of disk %s: %w", number, err)
	}
	columns := strings.Fields(string(text))
	if len(columns) <= statInFlight {
		return Requests{}, fmt.Errorf("reading the counters of disk %s: %.200q is not what a kernel writes to %s", number, text, path)
	}
	var r Requests
	for at, to := range map[int]*uint64{
		statReads: &r.Answered, statWrites: &r.Answered, statDiscards: &r.Answered, statFlushes: &r.Answered, statInFlight: &r.Waiting,
	} {
		if at >= len(columns) {
			continue
		}
		n, err := strconv.ParseUint(columns[at], 10, 64)
		if err != nil {
			return Requests{}, fmt.Errorf("reading the counters of disk %s in %s: %w", number, path, err)
		}
		*to += n
	}
	return r, nil
}
