// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Found is what a search of a whole volume saw.
type Found struct {
	// Texts are those of the searched ones that are on the volume.
	Texts []string
	// Written counts blocks of 4096 bytes that are not all zero.
	Written int
}

// Search reads the whole volume as the host sees it.
func (v Volume) Search(texts ...[]byte) (found Found, err error) {
	f, err := os.Open(v.Path)
	if err != nil {
		return Found{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const block, chunk = 4096, 4 << 20
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	zeros := make([]byte, block)
	seen := make([]bool, len(texts))
	// The end of the last chunk comes before the next one, for texts across.
	buffer := make([]byte, longest+chunk)
	for {
		n, err := io.ReadFull(f, buffer[longest:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return Found{}, fmt.Errorf("reading %s: %w", v.Path, err)
		}
		written := 0
		for offset := 0; offset < n; offset += block {
			if !bytes.Equal(buffer[longest+offset:longest+min(offset+block, n)], zeros[:min(block, n-offset)]) {
				written++
			}
		}
		found.Written += written
		for i, text := range texts {
			// A text that begins in the last chunk ends in this one, so it is
			// not all zero. Most of a volume is.
			if written > 0 && !seen[i] && bytes.Contains(buffer[:longest+n], text) {
				seen[i] = true
				found.Texts = append(found.Texts, fmt.Sprintf("%q", text))
			}
		}
		if n < chunk {
			return found, nil
		}
		copy(buffer[:longest], buffer[chunk:])
	}
}
