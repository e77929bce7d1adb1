// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// maxGreeting bounds the answer to CONNECT in bytes: "OK " and a port.
const maxGreeting = 32

// hybridTarget is a port behind the socket of Cloud Hypervisor's or
// Firecracker's hybrid vsock.
type hybridTarget struct {
	socket string
	port   uint32
}

func (t hybridTarget) String() string { return fmt.Sprintf("hvsock://%s:%d", t.socket, t.port) }

func (t hybridTarget) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", t.socket)
	if err != nil {
		return nil, refused(err)
	}
	if err := t.handshake(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// handshake asks the hypervisor for the port (Firecracker, docs/vsock.md:
// "CONNECT <port>\n", answered by "OK <port>\n"). Where nobody listens, the
// hypervisor hangs up.
func (t hybridTarget) handshake(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails on a closed socket only
	})
	err := t.ask(conn)
	if !stop() {
		return fmt.Errorf("waiting for the hypervisor: %w", context.Cause(ctx))
	}
	return err
}

func (t hybridTarget) ask(conn net.Conn) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", t.port); err != nil {
		return fmt.Errorf("asking the hypervisor: %w", err)
	}
	greeting, err := readLine(conn)
	if errors.Is(err, io.EOF) {
		return ErrRefused
	}
	if err != nil {
		return refused(err)
	}
	if !strings.HasPrefix(greeting, "OK ") {
		return fmt.Errorf("the hypervisor answered %q", greeting)
	}
	return nil
}

// readLine reads byte by byte: what follows the line is not ours to buffer.
func readLine(r io.Reader) (string, error) {
	line := make([]byte, 0, maxGreeting)
	var b [1]byte
	for len(line) < maxGreeting {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", fmt.Errorf("no line within %d bytes: %q", maxGreeting, line)
}
