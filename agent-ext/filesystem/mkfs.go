// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"

	"github.com/kata-tes/kata-tes/agent-ext/command"
)

// Type is the file system, as mount(2) calls it.
const Type = "ext4"

// Make formats the device with the guest image's mkfs.ext4.
func Make(ctx context.Context, run command.Runner, mkfs, device string) error {
	return run.Run(ctx, nil, mkfs,
		"-q",
		"-F", // nobody is there to confirm
		// The store dies with the virtual machine: after a crash there is
		// nothing to recover, and a journal costs space and writes.
		"-O", "^has_journal",
		"-m", "0", // no blocks kept for root: everything here is root's
		// One inode for 16 KiB, mkfs.ext4's usual ratio, whatever the image's
		// mke2fs.conf has: images of interpreted languages consist of small
		// files. More inodes cost no time, see lazy_itable_init.
		"-i", "16384",
		// The kernel writes the inode tables when it first needs them, so that
		// the time does not grow with the disk. No discard: the mapping passes
		// none on, which would tell the host what is in use. A stride of 1 (none)
		// instead of what the host says of its disk: the layout is ours.
		"-E", "lazy_itable_init=1,nodiscard,stride=1,stripe_width=1",
		device,
	)
}
