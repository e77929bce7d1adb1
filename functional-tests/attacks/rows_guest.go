// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package attacks

import "google.golang.org/grpc/codes"

// differs is a table that is not what was asked for in one field.
func differs(id, what, says, gain string) Attack {
	return Attack{
		ID: id, Host: what, Must: "the live table is compared field by field; the mapping is closed, nothing is mounted",
		Gain: gain, Code: codes.DataLoss, Says: says,
	}
}

// header writes a header of the host's, whose key it has, to the disk.
func header(id, when string) Attack {
	return Attack{
		ID: id, Host: "writes a LUKS2 header of its own, with `cipher_null-ecb`, to the beginning of the disk " + when,
		Must: "nobody reads it: the mapping has the guest's cipher and key, and what the guest writes is found neither on the disk nor through the host's header",
		Gain: "everything that the guest writes, in clear (CVE-2025-59054)",
	}
}

// rest marks an attack that is not tried each time.
func rest(a Attack) Attack {
	a.Rest = true
	return a
}

const (
	inClear = "everything that the guest writes, in clear"
	weaker  = "ciphertext that is easier to attack"
	other   = "blocks that go where nobody verified the disk"
)

// guestRows are attempts to have the guest make another store than it believes.
var guestRows = []Group{
	{"header", "A header on the disk, at any moment", []Attack{
		rest(header("format", "during luksFormat")),
		header("open", "between luksFormat and luksOpen"),
		rest(header("mkfs", "between luksOpen and mkfs")),
		header("ready", "when the store is ready, asks again, and (with a helper) has the agent extension killed and started anew"),
	}},
	{"mapping", "A mapping that is not what was asked for (the guest's cryptsetup is made to make it)", []Attack{
		differs("cipher-null", "cipher_null-ecb", "parameter 0", inClear),
		rest(differs("cipher", "another cipher: AES-CBC", "parameter 0", weaker)),
		rest(differs("iv", "another way to make initialization vectors: plain (32 bits)", "parameter 0", weaker+": vectors repeat beyond 2 TiB")),
		rest(differs("key-size", "a key of 256 bits", "its key has", weaker)),
		differs("key-zero", "a key of zeros", "its key is not random", inClear),
		rest(differs("iv-offset", "another offset of the initialization vectors", "parameter 2", "the same vectors as in another mapping")),
		differs("device", "another disk", "parameter 3", other),
		rest(differs("offset", "another offset on the disk", "parameter 4", "the data where others look for headers")),
		rest(differs("sector-size", "sectors of 512 bytes", "parameters instead of", weaker+": finer patterns of access")),
		rest(differs("discards", "one more option: allow_discards", "parameters instead of", "which blocks are free")),
		rest(differs("read-only", "a read-only mapping", "its flags are", "a store that fails in the middle of a pull")),
		rest(differs("shorter", "a mapping that ends before the disk", "it covers sectors", "blocks outside of what was verified")),
		rest(differs("linear", "a linear target instead of a crypt one", "its target is", inClear)),
		differs("two-targets", "a second, linear target at the end", "it has 2 targets", "a part of what the guest writes, in clear"),
		rest(differs("waiting", "a right table, and another one that waits for the next resume", "its flags are", inClear+", later")),
		rest(differs("uuid", "a right table in a mapping that is not of LUKS2", "its uuid is", "a mapping that cryptsetup did not make")),
		differs("node", "a device node in /dev/mapper that is another device", "is another device", inClear),
	}},
	{"mountpoint", "The mount points", []Attack{
		{
			ID: "occupied", Host: "calls when images are unpacked there", Must: "the files are seen as before; the status has the reason",
			Gain: "images that containers run on replaced by others", Code: codes.FailedPrecondition, Says: "contains",
		},
		{
			ID: "occupied-late", Host: "has an image unpacked at the second mount point while the store is being made", Must: "all is undone; the files are seen as before",
			Gain: "as above", Code: codes.FailedPrecondition, Says: "contains",
		},
		{
			ID: "symlink", Rest: true, Host: "(with a helper in the guest) makes the mount point a symbolic link to /etc", Must: "no link is followed",
			Gain: "a file system over the guest's own folders", Code: codes.FailedPrecondition, Says: "symbolic links",
		},
		{
			ID: "symlink-above", Host: "(with a helper) makes a folder above it a symbolic link", Must: "no link is followed",
			Gain: "as above", Code: codes.FailedPrecondition, Says: "symbolic links",
		},
		{
			ID: "mounted", Host: "(with a helper) mounts something there first", Must: "what is mounted stays on top",
			Gain: "a store that is shadowed, or shadows", Code: codes.FailedPrecondition, Says: "something is mounted at",
		},
		{
			ID: "file", Rest: true, Host: "(with a helper) makes it a file", Must: "the file stays",
			Gain: "as above", Code: codes.FailedPrecondition, Says: "not a directory",
		},
	}},
	{"tamper", "Ciphertext changed (profile `confidentiality`; for both profiles see [profiles](profiles.md#what-each-protects-against))", []Attack{
		{
			ID: "flip", Rest: true, Host: "changes a bit in a block of a file", Must: "the guest reads another content, of which the host chooses nothing: 16 bytes of noise for each bit", Limit: true,
			Gain: "noise in a place of its choice, for instance in a program",
		},
		{
			ID: "replay", Host: "puts a block's older ciphertext back", Must: "the guest reads the older content, whole", Limit: true,
			Gain: "an older version of a file's block",
		},
	}},
}
