// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package luks turns a disk into an encrypted mapping with a throw-away key:
// LUKS2 by the guest image's cryptsetup, with the header in guest memory, and a
// check of the live device-mapper table afterwards.
package luks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/kata-tes/kata-tes/agent-ext/command"
)

const (
	// encryptionSector in bytes. 4 KiB sectors read about five times faster
	// than 512-byte ones, and file systems use 4 KiB blocks anyway.
	encryptionSector = 4096
	// dataOffset in 512-byte sectors (16 MiB) is what LUKS2 has by default for
	// a header on the disk. With the header elsewhere it could be 0; it stays,
	// so that the store looks like the proposal's.
	dataOffset = 32768
	// A LUKS2 header is its metadata twice and then the keyslots (LUKS2
	// On-Disk Format Specification, 2); size in bytes.
	metadataArea = 16 << 10
)

// ErrInUse says that the mapping cannot be closed, because somebody uses it.
var ErrInUse = errors.New("the mapping is in use")

// ErrTaken says that there is a mapping of that name already, which is not ours
// to close.
var ErrTaken = errors.New("the mapping's name is taken")

// Volume is a LUKS2 volume to be.
type Volume struct {
	Run        command.Runner
	Cryptsetup string
	Encryption Encryption
	// Device is the disk's node, Number its MAJOR:MINOR, Size its bytes.
	Device string
	Number string
	Size   uint64
	// Header is the path of the header file, in memory.
	Header string
	// Mapping is the device-mapper name.
	Mapping string
}

// Path is the mapping's device node.
func (v Volume) Path() string { return filepath.Join(mapper, v.Mapping) }

// Format writes a new LUKS2 header. It never reads an old one.
func (v Volume) Format(ctx context.Context, key *Key) error {
	args := slices.Concat([]string{
		"luksFormat",
		"--batch-mode", // nobody is there to confirm
		"--type", "luks2",
		"--header", v.Header, // LUKS2 metadata isn't authenticated: never on the host's disk
	}, v.Encryption.formatOptions(), []string{
		"--sector-size", strconv.Itoa(encryptionSector),
		"--offset", strconv.Itoa(dataOffset),
		"--pbkdf", "pbkdf2", // a random 512-bit key needs no slow derivation
		"--pbkdf-force-iterations", "1000", // the least that cryptsetup takes
		"--luks2-metadata-size", strconv.Itoa(metadataArea), // the least: the header is memory
		"--luks2-keyslots-size", strconv.Itoa(v.Encryption.keyslotsArea()), // the least for one key
		"--key-file", "-", // standard input: no file, no argument
		v.Device,
	})
	return v.withKey(ctx, key, args)
}

// Open makes the mapping.
func (v Volume) Open(ctx context.Context, key *Key) error {
	args := slices.Concat([]string{
		"luksOpen",
		"--batch-mode",
		"--header", v.Header,
		"--key-file", "-",
		// The key goes straight to device-mapper instead of the kernel's
		// keyring, where other processes of root could ask for it.
		"--disable-keyring",
	}, v.Encryption.openOptions(), []string{v.Device, v.Mapping})
	return v.withKey(ctx, key, args)
}

// withKey runs cryptsetup with the key on its standard input. The key fits into
// a pipe's buffer, so that no further copy of it is made.
func (v Volume) withKey(ctx context.Context, key *Key, args []string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("passing the key: %w", err)
	}
	_, err = w.Write(key.bytes())
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(fmt.Errorf("passing the key: %w", err), r.Close())
	}
	err = v.Run.Run(ctx, r, v.Cryptsetup, args...)
	return errors.Join(err, r.Close())
}
