// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// someSealedKey has the form of 512 bits for the cipher and 256 for the tags.
var someSealedKey = someKey + strings.Repeat("fedcba9876543210", 4)

func someSealedVolume() Volume {
	v := someVolume()
	v.Encryption = SealedXTS
	return v
}

// someSealedTables are what the kernel says of 1 GiB, the lower first.
func someSealedTables() []*liveTable {
	return []*liveTable{{
		name: "ephemeral_image_encrypted_disk_dif", uuid: "CRYPT-INTEGRITY-0123456789abcdef-ephemeral_image_encrypted_disk_dif",
		device: 253 << 8, users: 1,
		targets: []liveTarget{{
			length: 2031880, kind: "integrity",
			parameters: []byte("8:0 32768 32 D 5 block_size:4096 journal_sectors:16368 interleave_sectors:32768 buffer_sectors:128 fix_padding"),
		}},
	}, {
		name: "ephemeral_image_encrypted_disk", uuid: "CRYPT-LUKS2-0123456789abcdef-ephemeral_image_encrypted_disk",
		device: 253<<8 | 1, users: 1,
		targets: []liveTarget{{
			length: 2031880, kind: "crypt",
			parameters: []byte("capi:authenc(hmac(sha256),xts(aes))-plain64 " + someSealedKey + " 0 253:0 0 2 integrity:32:aead sector_size:4096"),
		}},
	}}
}

// compareAll is Verify without the kernel.
func (v Volume) compareAll(tables []*liveTable) error {
	below := v.Number
	for i, l := range v.layers() {
		if err := l.compare(tables[i], below); err != nil {
			return err
		}
		below = number(tables[i].device)
	}
	return nil
}

func TestSealedAccepts(t *testing.T) {
	require.NoError(t, someSealedVolume().compareAll(someSealedTables()))
	// As newer releases of cryptsetup name the lower one.
	tables := someSealedTables()
	tables[0].uuid = "CRYPT-SUBDEV-0123456789abcdef-ephemeral_image_encrypted_disk_dif"
	require.NoError(t, someSealedVolume().compareAll(tables))
}

// Each field of each table changed alone must be refused: dm-integrity's are
// what a host that rewrites the superblock on its disk would change.
func TestSealedRefuses(t *testing.T) {
	const lower, upper = 0, 1
	parameters := func(which int, old, new string) func([]*liveTable) {
		return func(tables []*liveTable) {
			was := string(tables[which].targets[0].parameters)
			is := strings.Replace(was, old, new, 1)
			if was == is {
				panic("nothing was changed")
			}
			tables[which].targets[0].parameters = []byte(is)
		}
	}
	target := func(which int, change func(*liveTarget)) func([]*liveTable) {
		return func(tables []*liveTable) { change(&tables[which].targets[0]) }
	}
	for name, change := range map[string]func([]*liveTable){
		"lower name":             func(tables []*liveTable) { tables[lower].name = "other" },
		"lower uuid":             func(tables []*liveTable) { tables[lower].uuid = "" },
		"lower read-only":        func(tables []*liveTable) { tables[lower].flags |= unix.DM_READONLY_FLAG },
		"lower suspended":        func(tables []*liveTable) { tables[lower].flags |= unix.DM_SUSPEND_FLAG },
		"lower, a table waits":   func(tables []*liveTable) { tables[lower].flags |= unix.DM_INACTIVE_PRESENT_FLAG },
		"lower without target":   func(tables []*liveTable) { tables[lower].targets = nil },
		"lower is linear":        target(lower, func(l *liveTarget) { l.kind = "linear" }),
		"lower starts later":     target(lower, func(l *liveTarget) { l.start = 8 }),
		"lower smaller":          target(lower, func(l *liveTarget) { l.length -= 8 }),
		"lower larger":           target(lower, func(l *liveTarget) { l.length += 8 }),
		"lower on another disk":  parameters(lower, "8:0", "8:16"),
		"lower offset":           parameters(lower, "32768", "0"),
		"tag size":               parameters(lower, " 32 D", " 4 D"),
		"journal":                parameters(lower, " D ", " J "),
		"bitmap":                 parameters(lower, " D ", " B "),
		"recovery":               parameters(lower, " D ", " R "),
		"small blocks":           parameters(lower, "block_size:4096", "block_size:512"),
		"no block size":          parameters(lower, "5 block_size:4096", "4"),
		"small journal":          parameters(lower, "journal_sectors:16368", "journal_sectors:264"),
		"large journal":          parameters(lower, "journal_sectors:16368", "journal_sectors:16632"),
		"interleave":             parameters(lower, "interleave_sectors:32768", "interleave_sectors:8"),
		"buffers":                parameters(lower, "buffer_sectors:128", "buffer_sectors:8"),
		"padding":                parameters(lower, "5 block_size", "4 block_size"),
		"recalculate":            parameters(lower, "5 block_size:4096", "6 block_size:4096 recalculate"),
		"discards":               parameters(lower, "5 block_size:4096", "6 block_size:4096 allow_discards"),
		"a hash of its own":      parameters(lower, "fix_padding", "internal_hash:crc32c"),
		"metadata elsewhere":     parameters(lower, "5 block_size:4096", "6 meta_device:8:16 block_size:4096"),
		"upper not on the lower": parameters(upper, "253:0", "8:0"),
		"lower is another":       func(tables []*liveTable) { tables[lower].device = 253<<8 | 7 },
		"upper offset":           parameters(upper, "253:0 0", "253:0 8"),
		"upper smaller":          target(upper, func(l *liveTarget) { l.length -= 8 }),
		"cipher alone":           parameters(upper, "capi:authenc(hmac(sha256),xts(aes))-plain64", "aes-xts-plain64"),
		"null cipher":            parameters(upper, "xts(aes)", "ecb(cipher_null)"),
		"null tag":               parameters(upper, "hmac(sha256)", "digest_null"),
		"random iv":              parameters(upper, "-plain64", "-random"),
		"no key for tags":        parameters(upper, someSealedKey, someKey),
		"zero key":               parameters(upper, someSealedKey, strings.Repeat("0", 192)),
		"short tag":              parameters(upper, "integrity:32:aead", "integrity:16:aead"),
		"no tag":                 parameters(upper, "2 integrity:32:aead", "1"),
		"tag not checked":        parameters(upper, "integrity:32:aead", "integrity:32:none"),
		"small sectors":          parameters(upper, "sector_size:4096", "sector_size:512"),
		"one option more":        parameters(upper, "2 integrity", "3 allow_discards integrity"),
	} {
		t.Run(name, func(t *testing.T) {
			tables := someSealedTables()
			change(tables)
			err := someSealedVolume().compareAll(tables)
			require.Error(t, err)
			require.NotContains(t, err.Error(), someKey[:16])
		})
	}
}

// What the kernel's own formatting gave, in sectors of 512 bytes.
func TestLayOut(t *testing.T) {
	for disk, want := range map[uint64]geometry{
		2 << 20:   {journal: 16368, data: 2031880},
		128 << 20: {journal: 130944, data: 133014648},
		2 << 30:   {journal: 130944, data: 2130673784},
	} {
		require.Equal(t, want, layOut(disk, 32), disk)
	}
	require.Zero(t, layOut(dataOffset, 32).data, "a disk that is too small")
}

func FuzzLayOut(f *testing.F) {
	f.Add(uint64(1 << 21))
	f.Fuzz(func(t *testing.T, disk uint64) {
		disk %= 1 << 50
		g := layOut(disk, 32)
		require.Zero(t, g.data%8)
		require.LessOrEqual(t, g.data, disk)
		if disk > 1<<19 {
			require.Greater(t, g.data, disk/2)
			require.GreaterOrEqual(t, layOut(disk+8, 32).data+1024, g.data)
		}
	})
}

func TestSealedCommands(t *testing.T) {
	run := &recorder{}
	v := Volume{Run: run, Cryptsetup: "/sbin/cryptsetup", Encryption: SealedXTS, Device: "/dev/sda", Header: "/run/h", Mapping: "m"}
	key, err := NewKey()
	require.NoError(t, err)
	require.NoError(t, v.Format(t.Context(), key))
	require.NoError(t, v.Open(t.Context(), key))
	require.NoError(t, key.Destroy())
	require.Contains(t, strings.Join(run.args[0], " "), " --cipher aes-xts-plain64 --key-size 512 --integrity hmac-sha256 --integrity-no-wipe --sector-size 4096 ")
	require.Equal(t, "/sbin/cryptsetup luksOpen --batch-mode --header /run/h --key-file - --disable-keyring --integrity-no-journal /dev/sda m",
		strings.Join(run.args[1], " "))
}

// Only what lies on our disk is ours to remove.
func TestLeftByAKilledFormat(t *testing.T) {
	v := someSealedVolume()
	table := someSealedTables()[0]
	require.True(t, v.left(table))
	v.Number = "8:16"
	require.False(t, v.left(table))
	require.False(t, someSealedVolume().left(someTable()))
	require.False(t, someSealedVolume().left(&liveTable{}))
}
