// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	chunkSize = 1 << 20
	// holeSize is the unit in which zeros are left out, in bytes.
	holeSize = 4096
)

var zeros [holeSize]byte

// copySparse copies n bytes to where nothing but zeros is, leaving out what is
// zero, so that it takes no room.
func copySparse(ctx context.Context, to io.WriterAt, toAt int64, from io.ReaderAt, fromAt, n int64) error {
	chunk := make([]byte, chunkSize)
	for done := int64(0); done < n; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := chunk[:min(n-done, chunkSize)]
		if _, err := from.ReadAt(part, fromAt+done); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("copying the image: %w", err)
		}
		if err := writeSparse(to, part, toAt+done); err != nil {
			return fmt.Errorf("copying the image: %w", err)
		}
		done += int64(len(part))
	}
	return nil
}

func writeSparse(to io.WriterAt, b []byte, at int64) error {
	for len(b) > 0 {
		part := b[:min(len(b), holeSize)]
		if !bytes.Equal(part, zeros[:len(part)]) {
			if _, err := to.WriteAt(part, at); err != nil {
				return err
			}
		}
		b, at = b[len(part):], at+int64(len(part))
	}
	return nil
}
