// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func someVolume() Volume {
	return Volume{Encryption: XTS, Number: "8:0", Size: 1 << 30, Mapping: "ephemeral_image_encrypted_disk"}
}

// compare is what Verify does with a table of the volume's only layer.
func (v Volume) compare(t *liveTable) error { return v.layers()[0].compare(t, v.Number) }

func TestCompareAccepts(t *testing.T) {
	require.NoError(t, someVolume().compare(someTable()))
}

// Each field changed alone must be refused, and the key must not be told.
func TestCompareRefuses(t *testing.T) {
	parameters := func(old, new string) func(*liveTable) {
		return func(table *liveTable) {
			was := string(table.targets[0].parameters)
			is := strings.Replace(was, old, new, 1)
			if was == is {
				panic("nothing was changed")
			}
			table.targets[0].parameters = []byte(is)
		}
	}
	for name, change := range map[string]func(*liveTable){
		"name":                func(table *liveTable) { table.name = "other" },
		"not LUKS2":           func(table *liveTable) { table.uuid = "CRYPT-PLAIN-x" },
		"no uuid":             func(table *liveTable) { table.uuid = "" },
		"read-only":           func(table *liveTable) { table.flags |= unix.DM_READONLY_FLAG },
		"suspended":           func(table *liveTable) { table.flags |= unix.DM_SUSPEND_FLAG },
		"another table waits": func(table *liveTable) { table.flags |= unix.DM_INACTIVE_PRESENT_FLAG },
		"no target":           func(table *liveTable) { table.targets = nil },
		"two targets":         func(table *liveTable) { table.targets = append(table.targets, table.targets[0]) },
		"linear":              func(table *liveTable) { table.targets[0].kind = "linear" },
		"starts later":        func(table *liveTable) { table.targets[0].start = 8 },
		"shorter":             func(table *liveTable) { table.targets[0].length -= 8 },
		"longer":              func(table *liveTable) { table.targets[0].length += 8 },
		"cipher_null":         parameters("aes-xts-plain64", "cipher_null-ecb"),
		"null iv":             parameters("aes-xts-plain64", "aes-xts-null"),
		"cbc":                 parameters("aes-xts-plain64", "aes-cbc-essiv:sha256"),
		"no key":              parameters(someKey, "-"),
		"short key":           parameters(someKey, someKey[:64]),
		"long key":            parameters(someKey, someKey+"00"),
		"zero key":            parameters(someKey, strings.Repeat("0", 128)),
		"patterned key":       parameters(someKey, strings.Repeat("0f", 64)),
		"not hexadecimal":     parameters(someKey, strings.Repeat("0123456789abcdeg", 8)),
		"key in the keyring":  parameters(someKey, ":64:logon:cryptsetup:x-d0"),
		"iv offset":           parameters(" 0 8:0", " 8 8:0"),
		"other disk":          parameters("8:0", "8:16"),
		"offset":              parameters("32768", "0"),
		"small sectors":       parameters("sector_size:4096", "sector_size:512"),
		"no options":          parameters(" 1 sector_size:4096", ""),
		"another option":      parameters("sector_size:4096", "allow_discards"),
		"one option more":     parameters("1 sector_size:4096", "2 sector_size:4096 allow_discards"),
		"integrity":           parameters("1 sector_size:4096", "2 integrity:28:aead sector_size:4096"),
		"one field more":      parameters("sector_size:4096", "sector_size:4096 x"),
		"empty":               func(table *liveTable) { table.targets[0].parameters = nil },
	} {
		t.Run(name, func(t *testing.T) {
			table := someTable()
			change(table)
			err := someVolume().compare(table)
			require.Error(t, err)
			require.NotContains(t, err.Error(), someKey[:16])
		})
	}
}

func TestSectors(t *testing.T) {
	for size, want := range map[uint64]uint64{
		1 << 30:         2064384, // the proposal's
		1<<30 + 512:     2064384, // whole encryption sectors only
		1<<30 + 4096:    2064392,
		32 << 20:        32768,
		64 << 30:        64<<21 - 32768,
		16<<20 + 4096:   8,
		1<<40 + 7*512:   1<<31 - 32768,
		16<<20 + 7*512:  0,
		16<<20 + 15*512: 8,
	} {
		require.Equal(t, want, Volume{Encryption: XTS, Size: size}.sectors(), size)
	}
}

func TestVerifyWithoutMapping(t *testing.T) {
	v := someVolume()
	v.Mapping = "no-such-mapping-kata-tes"
	_, err := v.Verify()
	require.Error(t, err)
	_, err = readTable(strings.Repeat("x", 128))
	require.Error(t, err)
}
