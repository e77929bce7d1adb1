// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/mdlayher/vsock"
)

// Listen opens the address: "vsock" (our port, connections from the host only)
// or unix://PATH for tests.
func Listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("listening on %s: %w", address, err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			return nil, fmt.Errorf("listening on %s: %w", address, err)
		}
		return l, nil
	}
	if address != "vsock" {
		return nil, fmt.Errorf("listening on %q: must be \"vsock\" or unix://PATH", address)
	}
	l, err := vsock.Listen(agentproto.Port, nil)
	if err != nil {
		return nil, fmt.Errorf("listening on vsock port %d: %w", agentproto.Port, err)
	}
	return hostOnly{l}, nil
}

// hostOnly hangs up on everybody but the host (vsock(7): CID 2). Processes in
// the guest, containers among them, reach the port by the local CID.
type hostOnly struct{ net.Listener }

// Accept implements net.Listener.
func (l hostOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if isHost(conn.RemoteAddr()) {
			return conn, nil
		}
		// Nothing was said on it: a failure to close it changes nothing.
		_ = conn.Close()
	}
}

func isHost(peer net.Addr) bool {
	address, ok := peer.(*vsock.Addr)
	return ok && address.ContextID == vsock.Host
}
