// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kata-tes/kata-tes/agent-ext/command"
)

// Type is a file system that a store can have.
type Type struct {
	// Name is what mount(2) and /proc/filesystems call it.
	Name string
	// options of its mkfs.
	options []string
	// looks says that mkfs looks at the first block before it writes it.
	looks bool
}

// Ext4 is the proposal's.
var Ext4 = Type{Name: "ext4", options: []string{
	"-q",
	"-F", // nobody is there to confirm
	// The store dies with the virtual machine: after a crash there is
	// nothing to recover, and a journal costs space and writes. For the same
	// reason no copies of superblock and group descriptors, which grow with the
	// disk, and no room for the descriptors of a larger one.
	"-O", "^has_journal,^resize_inode,sparse_super2",
	// The bitmaps of more groups together: fewer of them to write at once.
	"-G", "1024",
	"-m", "0", // no blocks kept for root: everything here is root's
	// One inode for 16 KiB, mkfs.ext4's usual ratio, whatever the image's
	// mke2fs.conf has: images of interpreted languages consist of small
	// files. More inodes cost no time, see lazy_itable_init.
	"-i", "16384",
	// The kernel writes the inode tables when it first needs them, so that
	// the time does not grow with the disk. No discard: the mapping passes
	// none on, which would tell the host what is in use. A stride of 1 (none)
	// instead of what the host says of its disk: the layout is ours.
	"-E", "lazy_itable_init=1,nodiscard,stride=1,stripe_width=1,num_backup_sb=0",
}}

// XFS reads no block that it has not written, which is what a disk wants whose
// sectors have no valid tag before they are written. (ext4 reads bitmaps and
// inode tables that mkfs left out.)
var XFS = Type{Name: "xfs", looks: true, options: []string{
	"-q",
	"-f", // whatever seems to be there, nobody is there to confirm
	"-K", // no discard: it would tell the host what is in use
	// Blocks and sectors as the encryption's, so that nothing is read in order
	// to write a part of it.
	"-b", "size=4096", "-s", "size=4096",
	// No stripes, whatever the host says of its disk: the layout is ours.
	"-d", "noalign",
	// mkfs writes all of the log. The least that it makes (since xfsprogs
	// 5.19), whatever the disk's size: there is nothing to recover after a
	// crash, since the store dies with the virtual machine.
	"-l", "size=64m",
	// Neither shared blocks nor the reverse map: images have no use for them,
	// and both cost writes.
	"-m", "crc=1,reflink=0,rmapbt=0",
	// Overlays need the file's type in its directory entry.
	"-n", "ftype=1",
}}

// firstBlock is what mkfs may look at beforehand, in bytes.
const firstBlock = 4096

// Make formats the device with the guest image's mkfs of this type.
func (t Type) Make(ctx context.Context, run command.Runner, mkfs, device string) error {
	if t.looks {
		if err := writeFirstBlock(device); err != nil {
			return err
		}
	}
	return run.Run(ctx, nil, mkfs, append(append([]string{}, t.options...), device)...)
}

// writeFirstBlock lets mkfs see nothing instead of a block that can't be read,
// which would be an alarm in the guest's log.
func writeFirstBlock(device string) (err error) {
	f, err := os.OpenFile(device, os.O_WRONLY, 0) //nolint:gosec // the mapping that was just made
	if err != nil {
		return fmt.Errorf("writing the first block: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(make([]byte, firstBlock), 0); err != nil {
		return fmt.Errorf("writing the first block of %s: %w", device, err)
	}
	// Past the cache: mkfs reads directly.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing the first block of %s: %w", device, err)
	}
	return nil
}
