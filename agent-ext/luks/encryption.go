// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import "strconv"

// Encryption says how a disk is encrypted: what cryptsetup is asked for and, by
// the same words, what the live tables have to say afterwards.
type Encryption struct {
	// cipher is cryptsetup's name, keyBits the size of its key.
	cipher  string
	keyBits int
	// seal authenticates each sector; nil where nothing does.
	seal *seal
}

// seal is an authentication tag beside each sector.
type seal struct {
	// name is cryptsetup's, live what dm-crypt calls cipher and tag together
	// (the kernel's crypto API: authenc).
	name, live string
	// keyBits of a key of its own, behind the cipher's.
	keyBits int
	// bytes of a tag.
	bytes int
}

var (
	// XTS is AES-256 in XTS mode (two keys of 256 bits): the host reads
	// nothing; what it changes is read as garbage, unnoticed.
	XTS = Encryption{cipher: "aes-xts-plain64", keyBits: 512}
	// SealedXTS is XTS with an HMAC-SHA-256 of each sector and its number: a
	// sector that the host changes or moves is an I/O error.
	SealedXTS = Encryption{cipher: XTS.cipher, keyBits: XTS.keyBits, seal: &seal{
		name: "hmac-sha256", live: "capi:authenc(hmac(sha256),xts(aes))-plain64", keyBits: 256, bytes: 32,
	}}
)

// formatOptions are luksFormat's.
func (e Encryption) formatOptions() []string {
	options := []string{"--cipher", e.cipher, "--key-size", strconv.Itoa(e.keyBits)}
	if e.seal != nil {
		options = append(options,
			"--integrity", e.seal.name,
			// Writing every sector once would take hours. Instead nothing is
			// read before it was written: that is the file system's part.
			"--integrity-no-wipe",
		)
	}
	return options
}

// openOptions are luksOpen's.
func (e Encryption) openOptions() []string {
	if e.seal == nil {
		return nil
	}
	// dm-integrity's journal keeps sector and tag together over a loss of
	// power. The store does not outlive its virtual machine; without the
	// journal nothing is written twice.
	return []string{"--integrity-no-journal"}
}

// liveCipher is the cipher's name in the live table.
func (e Encryption) liveCipher() string {
	if e.seal == nil {
		return e.cipher
	}
	return e.seal.live
}

// liveKeyBits is the size of the whole volume key.
func (e Encryption) liveKeyBits() int {
	if e.seal == nil {
		return e.keyBits
	}
	return e.keyBits + e.seal.keyBits
}

// keyslotsArea is room for one keyslot, in bytes: a volume key is spread over
// 4000 stripes of its own size (LUKS2 On-Disk Format Specification, 2.4), here
// with room for 4096.
func (e Encryption) keyslotsArea() int { return e.liveKeyBits() / 8 * 4096 }

// liveOptions are dm-crypt's optional parameters.
func (e Encryption) liveOptions() []string {
	size := "sector_size:" + strconv.Itoa(encryptionSector)
	if e.seal == nil {
		return []string{size}
	}
	return []string{"integrity:" + strconv.Itoa(e.seal.bytes) + ":aead", size}
}

// Mappings are the device-mapper names of a volume, the lowest first; the last
// is the volume itself.
func (e Encryption) Mappings(name string) []string {
	if e.seal == nil {
		return []string{name}
	}
	return []string{name + "_dif", name} // cryptsetup's own suffix
}
