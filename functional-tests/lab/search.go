// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Found is what a search saw.
type Found struct {
	// Texts are those of the searched ones that are there.
	Texts []string
	// Written counts blocks of 4096 bytes that are not all zero.
	Written int
}

// Search reads all that was ever written to the volume's group, as the host sees
// it: the group's file, whose holes (most of it) need not be read.
func (v Volume) Search(texts ...[]byte) (found Found, err error) {
	// What waits in the volume's own cache is not in the file yet.
	unix.Sync()
	f, err := os.Open(groupPath(filepath.Base(filepath.Dir(v.Path))))
	if err != nil {
		return Found{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return searchFile(f, texts)
}

// searchFile searches what of a file is no hole (lseek(2), SEEK_DATA).
func searchFile(f *os.File, texts [][]byte) (found Found, _ error) {
	seen := make([]bool, len(texts))
	for end := int64(0); ; {
		begin, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole follows
		}
		if err == nil {
			end, err = f.Seek(begin, unix.SEEK_HOLE)
		}
		if err != nil {
			return Found{}, fmt.Errorf("looking for what was written to %s: %w", f.Name(), err)
		}
		written, err := search(io.NewSectionReader(f, begin, end-begin), texts, seen)
		if err != nil {
			return Found{}, fmt.Errorf("reading %s: %w", f.Name(), err)
		}
		found.Written += written
	}
	for i, text := range texts {
		if seen[i] {
			found.Texts = append(found.Texts, fmt.Sprintf("%q", text))
		}
	}
	return found, nil
}

// search notes which texts it has seen, and counts blocks that are not all zero.
// A text across the end of an extent would have to end in a hole, so with zeros.
func search(r io.Reader, texts [][]byte, seen []bool) (written int, _ error) {
	const block, chunk = 4096, 4 << 20
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	zeros := make([]byte, block)
	// The end of the last chunk comes before the next one, for texts across.
	buffer := make([]byte, longest+chunk)
	for {
		n, err := io.ReadFull(r, buffer[longest:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return written, err
		}
		for offset := 0; offset < n; offset += block {
			if !bytes.Equal(buffer[longest+offset:longest+min(offset+block, n)], zeros[:min(block, n-offset)]) {
				written++
			}
		}
		for i, text := range texts {
			seen[i] = seen[i] || bytes.Contains(buffer[:longest+n], text)
		}
		if n < chunk {
			return written, nil
		}
		copy(buffer[:longest], buffer[chunk:])
	}
}
