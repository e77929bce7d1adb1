// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"bytes"
	"fmt"
	"os"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
)

var headerTests = tests{
	"header/format": headerDuring(luksFormat),
	"header/open":   headerDuring(luksOpen),
	"header/mkfs":   headerDuring(mkfs),
	"header/ready":  headerWhenReady,
}

// headerSize is all of a LUKS2 header with areas of the least size, in bytes.
const headerSize = 288 << 10

// hostKey is the key that the host has.
const hostKey = "the host knows this key"

// header is a LUKS2 header of the host's.
type luksHeader struct {
	a     *attempt
	path  string
	bytes []byte
}

// makeHeader formats the file, keeping a copy of the header.
func (a *attempt) makeHeader(path, cipher, keySize string) luksHeader {
	a.Helper()
	a.hostWith(hostKey, "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--cipher", cipher, "--key-size", keySize,
		"--sector-size", "4096", "--offset", fmt.Sprint(dataAt/512), "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
		"--luks2-metadata-size", "16384", "--luks2-keyslots-size", "262144", "--key-file", "-", path)
	h := luksHeader{a: a, path: a.TempDir() + "/header"}
	f, err := os.Open(path)
	require.NoError(a, err)
	defer func() { _ = f.Close() }()
	h.bytes = make([]byte, headerSize)
	_, err = f.ReadAt(h.bytes, 0)
	require.NoError(a, err)
	require.NoError(a, os.WriteFile(h.path, h.bytes, 0o600))
	return h
}

// nullHeader is one with which the host would read everything.
func (a *attempt) nullHeader() luksHeader {
	return a.makeHeader(a.disk(size).path, "cipher_null-ecb", "256")
}

// open opens the disk with the header and the host's key.
func (h luksHeader) open(d *disk, do func(mapped string)) {
	const name = "host-reads"
	h.a.hostWith(hostKey, "cryptsetup", "open", "--type", "luks2", "--header", h.path, "--key-file", "-", d.path, name)
	defer h.a.host("cryptsetup", "close", name)
	do("/dev/mapper/" + name)
}

// shows says whether the text is on the disk as seen through the header. (What
// was never written is left out: an emulated machine decrypts slowly.)
func (h luksHeader) shows(d *disk, text string) (found bool) {
	parts := d.written()
	h.open(d, func(mapped string) {
		f, err := os.Open(mapped)
		require.NoError(h.a, err)
		defer func() { _ = f.Close() }()
		for _, part := range parts {
			if part[1] <= dataAt {
				continue
			}
			from := max(part[0], dataAt)
			content := make([]byte, part[1]-from)
			_, err := f.ReadAt(content, from-dataAt)
			require.NoError(h.a, err)
			found = found || bytes.Contains(content, []byte(text))
		}
	})
	return found
}

// requireSecret has the guest write a text to its store, and makes sure that
// the host finds it nowhere.
func (a *attempt) requireSecret(d *disk, h luksHeader) {
	a.Helper()
	text := "secret of the guest " + string(agentproto.NewMarker())
	a.sh("echo " + text + " >/run/image/secret; sync; echo 3 >/proc/sys/vm/drop_caches")
	require.Equal(a, text+"\n", a.sh("cat /run/image/secret"))
	require.False(a, d.contains(text), "in clear on the host's disk")
	require.False(a, h.shows(d, text), "in clear through the host's header")
	table := a.sh("dmsetup table --showkeys " + mapping)
	require.Contains(a, table, " crypt aes-xts-plain64 ")
	require.Contains(a, table, fmt.Sprintf(" %d 1 sector_size:4096", dataAt/512))
}

func headerDuring(step string) func(a *attempt) {
	return func(a *attempt) {
		h := a.nullHeader()
		d := a.disk(size)
		marker := agentproto.NewMarker()
		d.plug(marker)
		require.NoError(a, a.during(step, marker, func() { d.write(0, h.bytes) }))
		a.requireSecret(d, h)
		a.mustRelease(marker)
	}
}

func headerWhenReady(a *attempt) {
	h := a.nullHeader()
	d, requireIntact := a.ready()
	d.write(0, h.bytes)
	a.mustPrepare(d.serial)
	a.requireSecret(d, h)
	// A new process takes the store over by what is in the guest's memory.
	a.sh("killall -9 kata-tes-agent")
	a.startAgent(a.T)
	requireIntact()
	a.requireSecret(d, h)
}
