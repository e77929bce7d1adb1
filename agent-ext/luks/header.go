// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ForgetKey zeroes the header's keyslots once the mapping is open, so that
// nobody, with whatever key, opens this volume again. The metadata before them
// stays: `cryptsetup status --header` shows what it says.
//
// Overwriting in place is enough because the header is in memory.
func (v Volume) ForgetKey() (err error) {
	f, err := os.OpenFile(v.Header, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("forgetting the keyslots: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("forgetting the keyslots: %w", err)
	}
	const begin = 2 * metadataArea
	if info.Size() <= begin {
		return fmt.Errorf("forgetting the keyslots: %s has %d bytes only", v.Header, info.Size())
	}
	if _, err := io.CopyN(io.NewOffsetWriter(f, begin), zeros{}, info.Size()-begin); err != nil {
		return fmt.Errorf("forgetting the keyslots: %w", err)
	}
	return nil
}

// RemoveHeader deletes the header file. One that isn't there is a success.
func (v Volume) RemoveHeader() error {
	if err := os.Remove(v.Header); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the header: %w", err)
	}
	return nil
}

// zeros is an endless source of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
