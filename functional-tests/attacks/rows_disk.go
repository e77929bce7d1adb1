// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package attacks

import "google.golang.org/grpc/codes"

// diskRows are lies about the disk.
var diskRows = []Group{
	{"marker", "The marker", []Attack{
		{
			ID: "none", Rest: true, Host: "asks for a store and attaches no disk", Must: "nothing is begun",
			Gain: "a pod without a store that runs all the same", Code: codes.NotFound, Says: "no disk with the marker appeared",
		},
		{
			ID: "wrong", Host: "attaches a disk with another marker than the one that it names", Must: "the disk is not touched",
			Gain: "another disk of the guest's overwritten", Code: codes.NotFound, Says: "no disk with the marker appeared",
		},
		{
			ID: "late", Host: "attaches the disk only after it has called", Must: "the store is made on it, within the guest's `find_timeout`",
			Gain: "a guest that gave up, or looked at half a disk",
		},
		{
			ID: "duplicate", Host: "attaches two disks with the same marker", Must: "neither disk is touched",
			Gain: "the choice, after the check, of which disk the guest writes to", Code: codes.FailedPrecondition, Says: "2 disks carry the marker",
		},
		{
			ID: "duplicate-later", Rest: true, Host: "attaches a second disk with the marker while the store is being made", Must: "the second disk is not touched",
			Gain: "a check of one disk, a mapping of another",
		},
		{
			ID: "replaced", Host: "replaces the disk by another with the same marker between two preparations", Must: "a new key and an empty file system on the new disk",
			Gain: "a store with contents of the host's choice",
		},
		{
			ID: "replaced-meanwhile", Rest: true, Host: "replaces the disk by another with the same marker during luksFormat", Must: "the number of the disk that was verified is held, so that the new one can't have it; the new disk is not touched",
			Gain: "a check of one disk, a mapping of another", Code: codes.Internal,
		},
		{
			ID: "replaced-in-use", Host: "replaces the disk under a store that is ready, and asks again", Must: "the new disk is not touched; the store stays lost until it is released",
			Gain: "a second disk joined to a mapping that was checked with the first",
		},
		{
			ID: "empty", Host: "sends an empty marker", Must: "nothing is looked for",
			Gain: "the first disk without a serial number: one of Kata's", Code: codes.InvalidArgument, Says: "is not",
		},
		{
			ID: "long", Host: "sends a marker of ten thousand characters", Must: "the answer repeats forty of them",
			Gain: "memory, a log full of the host's text", Code: codes.InvalidArgument, Says: "is not",
		},
		{
			ID: "path", Host: "sends markers such as `../../etc/passwd` and `tes-0/../../../sda0`", Must: "nothing is looked for",
			Gain: "a file or device of its choice", Code: codes.InvalidArgument, Says: "is not",
		},
		{
			ID: "characters", Host: "sends markers with line breaks, NUL, capitals, spaces, options (`--header`)", Must: "nothing is looked for, nothing reaches a log or a command line",
			Gain: "forged lines in the guest's log, options for cryptsetup", Code: codes.InvalidArgument, Says: "is not",
		},
	}},
	{"contents", "What is on the disk already", []Attack{
		{
			ID: "luks", Rest: true, Host: "offers a disk with a LUKS2 header of its own, whose key it has, and a file system with files inside", Must: "header and files are gone; the mapping has the guest's own key",
			Gain: "the key of the store; files of its choice in the guest",
		},
		{
			ID: "luks-null", Host: "the same with `cipher_null-ecb` in the header (CVE-2025-59054)", Must: "the mapping is aes-xts-plain64; what the guest writes is not found on the disk",
			Gain: "everything that the guest writes, in clear",
		},
		{
			ID: "ext4", Host: "offers a disk with an ext4 file system and files in it", Must: "it is formatted; the files are not in the store",
			Gain: "images and programs of its choice in the guest",
		},
		{
			ID: "xfs", Rest: true, Host: "offers a disk with an XFS file system", Must: "it is formatted",
			Gain: "the kernel's parsers on contents of its choice",
		},
		{
			ID: "lvm", Rest: true, Host: "offers a disk that is a physical volume of LVM", Must: "it is formatted, and is no physical volume any more",
			Gain: "a volume group that comes alive in the guest",
		},
		{
			ID: "md", Rest: true, Host: "offers a disk with an md superblock", Must: "it is formatted, and is no member of an array any more",
			Gain: "an array that comes alive in the guest",
		},
		{
			ID: "gpt", Host: "offers a disk with a GPT and a partition", Must: "the disk is not touched",
			Gain: "a disk that others in the guest look for partitions on", Code: codes.FailedPrecondition, Says: "has partitions",
		},
		{
			ID: "mbr", Rest: true, Host: "offers a disk with an MBR and a partition", Must: "the disk is not touched",
			Gain: "as above", Code: codes.FailedPrecondition, Says: "has partitions",
		},
	}},
	{"use", "A disk that the guest needs", []Attack{
		{
			ID: "mounted", Host: "names a disk that is mounted in the guest (as its root file system would be)", Must: "its files are intact",
			Gain: "the guest destroys its own system", Code: codes.FailedPrecondition, Says: "is mounted at",
		},
		{
			ID: "mounted-elsewhere", Host: "names a disk that is mounted in another mount namespace only, as a container's volume", Must: "its files are intact",
			Gain: "the guest destroys a container's data", Code: codes.FailedPrecondition, Says: "is in use",
		},
		{
			ID: "mapped", Host: "names a disk that is under a mapping (dm-verity's root, say)", Must: "the mapping is intact",
			Gain: "the guest destroys its own system", Code: codes.FailedPrecondition, Says: "is in use by dm-",
		},
		{
			ID: "swap", Host: "names a disk that the guest swaps to", Must: "the swap is intact; with swap on there is no store at all",
			Gain: "keys written to its disk", Code: codes.FailedPrecondition, Says: "swap is on",
		},
	}},
	{"shape", "The disk's shape", []Attack{
		{
			ID: "read-only", Host: "attaches the disk read-only", Must: "nothing is begun",
			Gain: "a store that fails in the middle of a pull", Code: codes.FailedPrecondition, Says: "is read-only",
		},
		{
			ID: "empty", Rest: true, Host: "attaches a disk of no size", Must: "nothing is begun",
			Gain: "sizes computed below zero", Code: codes.FailedPrecondition, Says: "has 0 bytes",
		},
		{
			ID: "tiny", Host: "attaches a disk of 16 MiB, less than the data's offset", Must: "nothing is begun",
			Gain: "sizes computed below zero", Code: codes.FailedPrecondition, Says: "use a larger volume",
		},
		{
			ID: "huge", Rest: true, Host: "attaches a disk of 1 TiB with nothing behind it", Must: "the store is ready, and little was written",
			Gain: "a preparation that takes until the kubelet gives up",
		},
		{
			ID: "shrunk", Rest: true, Host: "makes the disk smaller after it was attached", Must: "the size that counts is the one of now",
			Gain: "a mapping longer than its disk", Code: codes.FailedPrecondition, Says: "use a larger volume",
		},
		{
			ID: "shrinks", Host: "makes the disk smaller between luksFormat and luksOpen", Must: "the length of the mapping is compared with what was verified; all is undone",
			Gain: "a mapping that differs from what was checked", Code: codes.DataLoss, Says: "instead of",
		},
		{
			ID: "shrinks-in-use", Rest: true, Host: "makes the disk smaller under a store that is ready", Must: "writes beyond the end fail; the guest lives, and Release works",
			Gain: "a guest that hangs or falls over",
		},
		{
			ID: "vanishes", Rest: true, Host: "takes the disk away during luksFormat", Must: "all is undone",
			Gain: "a mapping without a disk, or on the next one with that name", Code: codes.Internal,
		},
		{
			ID: "vanishes-late", Host: "takes the disk away during mkfs", Must: "all is undone",
			Gain: "half a store that is taken for a whole one", Code: codes.Internal,
		},
		{
			ID: "vanishes-in-use", Host: "takes the disk away under a store that is ready", Must: "the guest lives, and Release works",
			Gain: "a guest that hangs or falls over",
		},
		{
			ID: "errors", Host: "answers each write to the disk with an error", Must: "all is undone",
			Gain: "a store that was never written, and images in memory after all", Code: codes.Internal, Says: "erasing old signatures",
		},
	}},
}
