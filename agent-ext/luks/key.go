// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Key is random bytes in locked memory, outside of Go's heap, in no core dump.
type Key struct{ memory []byte }

// keyBytes of randomness. It opens the one keyslot; the volume key is made by
// cryptsetup, and has two independent halves of 256 bits and perhaps a third.
const keyBytes = 64

// NewKey makes a key. Destroy it.
func NewKey() (*Key, error) {
	memory, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("memory for the key: %w", err)
	}
	k := &Key{memory: memory}
	for _, protect := range []func() error{
		func() error { return unix.Mlock(memory) },
		func() error { return unix.Madvise(memory, unix.MADV_DONTDUMP) },
		// Between fork and exec a child must not have it either.
		func() error { return unix.Madvise(memory, unix.MADV_WIPEONFORK) },
	} {
		if err := protect(); err != nil {
			return nil, errors.Join(fmt.Errorf("protecting the key's memory: %w", err), k.Destroy())
		}
	}
	for filled := 0; filled < keyBytes; {
		n, err := unix.Getrandom(memory[filled:keyBytes], 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("making a key: %w", err), k.Destroy())
		}
		filled += max(n, 0)
	}
	return k, nil
}

func (k *Key) bytes() []byte { return k.memory[:keyBytes] }

// wipe zeroes the key.
func (k *Key) wipe() { clear(k.memory) }

// Destroy zeroes the key and gives its memory back.
func (k *Key) Destroy() error {
	k.wipe()
	memory := k.memory
	k.memory = nil
	return unix.Munmap(memory)
}
