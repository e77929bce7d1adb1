// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Addresses that no guest has: hypervisor, loopback and host (0, 1, 2), and
// VMADDR_CID_ANY (vsock(7)).
const (
	hostCID = 2
	anyCID  = 1<<32 - 1
)

// target is a parsed address that can be connected to.
type target interface {
	connect(ctx context.Context) (net.Conn, error)
	fmt.Stringer
}

// parse replaces the port of Kata's agent by ours.
func parse(agentURL string, port uint32) (target, error) {
	scheme, rest, ok := strings.Cut(agentURL, "://")
	if !ok {
		return nil, fmt.Errorf("%w: %.100q", ErrAddress, agentURL)
	}
	switch scheme {
	case "unix":
		if rest == "" {
			break
		}
		return unixTarget(rest), nil
	case "vsock":
		cid, _, _ := strings.Cut(rest, ":")
		n, err := strconv.ParseUint(cid, 10, 32)
		if err != nil || n <= hostCID || n == anyCID {
			break
		}
		return vsockTarget{cid: uint32(n), port: port}, nil
	case "hvsock":
		// The agent's port comes last; the path may have colons of its own.
		path := rest
		if i := strings.LastIndexByte(rest, ':'); i >= 0 {
			path = rest[:i]
		}
		if path == "" {
			break
		}
		return hybridTarget{socket: path, port: port}, nil
	}
	return nil, fmt.Errorf("%w: %.100q", ErrAddress, agentURL)
}

// unixTarget is the path of a socket.
type unixTarget string

func (t unixTarget) String() string { return "unix://" + string(t) }

func (t unixTarget) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", string(t))
	if err != nil {
		return nil, refused(err)
	}
	return conn, nil
}

// refused marks the errors that mean that nobody listens (yet), and those that
// mean silence. A vsock port without a listener resets the connection
// (vmw_vsock_virtio_transport); the kernel waits two seconds for an answer
// (vsock(7), SO_VM_SOCKETS_CONNECT_TIMEOUT).
func refused(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return err
}
