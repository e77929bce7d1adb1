// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package guestimage puts the agent extension into a Kata guest image, a rootfs
// image or an initrd, and says what is in one. It mounts nothing, needs no root,
// and gives the same bytes for the same input, so that who measures the image
// can make it again.
//
// The input is never written to. All work is done in a folder beside the output,
// which takes its name only when it is whole, and was looked at as by Inspect.
//
//	tree        the guest's files: paths, links, what has to be changed
//	ext4        an ext4 file system in a file, by e2fsprogs
//	disk        partition tables, the header for NVDIMM
//	verity      dm-verity's hash tree, and how Kata is told of it
//	initrd      cpio archives, plain and compressed
//	kataconfig  what Kata's configuration says of the image; drop-ins
package guestimage
