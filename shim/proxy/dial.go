// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

const unixScheme = "unix://"

// SocketName is the name, for package net, of the socket that a shim's address
// names. An address without a scheme is an abstract socket, as containerd has
// it.
func SocketName(address string) (name string, abstract bool) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		return path, false
	}
	return "@" + address, true
}

// Dial connects to a shim's address.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	name, _ := SocketName(address)
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "unix", name)
	if err != nil {
		return nil, fmt.Errorf("connecting to the shim at %s: %w", address, err)
	}
	return conn, nil
}

// isTemporary is for accept(2): out of descriptors or memory now, maybe not in
// a second.
func isTemporary(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits before another attempt; false when the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
