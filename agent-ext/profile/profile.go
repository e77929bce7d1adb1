// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package profile has what a store can be: a name for the measured
// configuration, and for it an encryption and a file system that fit each other
// (docs/profiles.md).
package profile

import (
	"fmt"
	"strings"

	"github.com/kata-tes/kata-tes/agent-ext/filesystem"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
)

// Profile says what a disk becomes.
type Profile struct {
	Name       string
	Encryption luks.Encryption
	FileSystem filesystem.Type
	// Least is the smallest disk that can become it, in bytes.
	Least uint64
}

var (
	// Confidentiality hides contents from the host; it does not detect that
	// the host changes or replays blocks.
	Confidentiality = Profile{
		Name: "confidentiality", Encryption: luks.XTS, FileSystem: filesystem.Ext4,
		// The data begins after 16 MiB, and ext4 needs some room.
		Least: 32 << 20,
	}
	// Integrity also detects that a block was changed or moved, not that an old
	// one was put back to its own place.
	Integrity = Profile{
		Name: "integrity", Encryption: luks.SealedXTS, FileSystem: filesystem.XFS,
		// mkfs.xfs makes nothing below 300 MiB (since xfsprogs 5.19); before
		// them are 16 MiB, and tags and dm-integrity's journal take a 64th.
		Least: 336 << 20,
	}
)

// All profiles.
func All() []Profile { return []Profile{Confidentiality, Integrity} }

// UnmarshalText parses the name.
func (p *Profile) UnmarshalText(text []byte) error {
	var names []string
	for _, known := range All() {
		if string(text) == known.Name {
			*p = known
			return nil
		}
		names = append(names, fmt.Sprintf("%q", known.Name))
	}
	return fmt.Errorf("profile %.40q is unknown, use one of %s", text, strings.Join(names, ", "))
}
