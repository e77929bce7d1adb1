// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzOutput: whatever a program prints, in whatever pieces, what reaches the
// error is its end, bounded, valid text, and nothing that a terminal obeys.
func FuzzOutput(f *testing.F) {
	for _, printed := range []string{
		"", "\n", "Device sda is in use. Can not proceed with format operation.\n",
		// cryptsetup 2.6 with --verbose; dmsetup; mkfs.ext4 with its progress.
		"Command failed with code -4 (wrong device or file specified).\n",
		"device-mapper: create ioctl on x CRYPT-LUKS2-3b8… failed: Device or resource busy\n",
		"mke2fs 1.47.0 (5-Feb-2023)\nCreating journal: \b\b\bdone\r\nThe file /dev/sda does not exist\n",
		"\x1b]0;owned\x07\x1b[2J\x9b1m\u202egnp.exe\u2028", "\xff\xfe\x00",
	} {
		f.Add([]byte(printed), 3)
	}
	f.Add([]byte(strings.Repeat("é", maxOutput)), 1)
	f.Fuzz(func(t *testing.T, printed []byte, size int) {
		var output tail
		for rest := printed; len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			if written, err := output.Write(rest[:n]); written != n || err != nil {
				t.Fatal(written, err)
			}
			rest = rest[n:]
		}
		if len(output.kept) > maxOutput || cap(output.kept) > 4*maxOutput+2*len(printed) {
			t.Fatalf("%d bytes are kept, %d taken", len(output.kept), cap(output.kept))
		}
		text := output.String()
		if text == "" || !utf8.ValidString(text) || len(text) > maxOutput+len("…") {
			t.Fatalf("%q", text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Fatalf("a terminal would obey %q", text)
		}
	})
}
