// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

// pattern repeats one block of noise for ever. The block fits gzip's window, so
// it compresses to a thousandth, and has no zeros that a file system might
// leave out.
type pattern struct {
	block  []byte
	offset int
}

func newPattern() *pattern {
	const size = 16 << 10
	block := make([]byte, 0, size)
	// A linear congruential generator (Knuth's MMIX), the same every time.
	for state := uint64(1); len(block) < size; {
		state = state*6364136223846793005 + 1442695040888963407
		block = append(block, byte(state>>33)|1)
	}
	return &pattern{block: block}
}

func (p *pattern) Read(out []byte) (int, error) {
	n := copy(out, p.block[p.offset:])
	p.offset = (p.offset + n) % len(p.block)
	return n, nil
}
