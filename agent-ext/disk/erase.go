// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"io"
)

const (
	// signatureArea is where file systems, volume managers, swap and partition
	// tables have their signatures, in bytes (libblkid's probes; btrfs and
	// old md are the furthest).
	signatureArea = 128 << 10
	// headerBlock is enough of a secondary LUKS2 header to make it invalid.
	headerBlock = 4 << 10
)

// luksCopies are the places of a LUKS2 header's second copy (LUKS2 On-Disk
// Format Specification, 2.1), in bytes; those within signatureArea left out.
var luksCopies = []int64{128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}

// eraseSignatures makes the disk a blank one to whoever looks at it. Old
// contents are normal (a volume outlives its pods), and since our own header is
// not on the disk, an old one would stay and be taken for ours. All of it lies
// before the encrypted data.
func eraseSignatures(disk io.WriterAt, size uint64) error {
	if _, err := disk.WriteAt(make([]byte, min(signatureArea, size)), 0); err != nil {
		return fmt.Errorf("erasing old signatures: %w", err)
	}
	for _, at := range luksCopies {
		if uint64(at)+headerBlock > size {
			break
		}
		if _, err := disk.WriteAt(make([]byte, headerBlock), at); err != nil {
			return fmt.Errorf("erasing old signatures: %w", err)
		}
	}
	return nil
}
