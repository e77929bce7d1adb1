// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// conn hangs up on a peer that is silent, does not read, or sends what no
// caller of our service has a reason to send.
type conn struct {
	net.Conn
	idle    time.Duration
	frames  frames
	release func()
}

// Read implements net.Conn. To hang up is io.EOF, which the ttrpc server takes
// for the peer's going; any other error would keep its connection.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) || !c.frames.allow(p[:n]) {
		return 0, io.EOF
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}
