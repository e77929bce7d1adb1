// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one message from QEMU in bytes. The largest we ask for is
// query-named-block-nodes: less than 2 KiB for each of a pod's few disks.
const maxLine = 1 << 20

// readLine reads one message. Memory for it grows with what came, not with what
// is allowed. What a deadline cuts short is kept for the next call.
func (c *Conn) readLine() ([]byte, error) {
	for {
		part, err := c.in.ReadSlice('\n')
		if len(c.partial)+len(part) > maxLine {
			return nil, fmt.Errorf("%w: a message of more than %d bytes", ErrProtocol, maxLine)
		}
		c.partial = append(c.partial, part...)
		switch {
		case err == nil:
			line := c.partial
			c.partial = nil
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil, errors.New("QEMU closed the monitor's connection")
		default:
			return nil, fmt.Errorf("reading: %w", err)
		}
	}
}
