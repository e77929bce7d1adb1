// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"io"
	"net"
)

// Dial opens a connection to an address as the node sees it.
func (n *Node) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.client.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s in the node: %w", address, err)
	}
	return conn, nil
}

// Provide makes something of this machine reachable in the node, which sees
// nothing of it otherwise: connections to that address of the node are joined
// with ones that dial opens. It ends with the node.
func (n *Node) Provide(ctx context.Context, address string, dial func(context.Context) (net.Conn, error)) error {
	listener, err := n.client.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening on %s in the node: %w", address, err)
	}
	go func() {
		for {
			there, err := listener.Accept()
			if err != nil {
				return // the node has ended
			}
			go func() {
				here, err := dial(ctx)
				if err != nil {
					n.config.logf("%s: %v", address, err)
					_ = there.Close()
					return
				}
				Join(there, here)
			}()
		}
	}()
	return nil
}

// Join copies between two connections until one of them ends, and closes both.
func Join(a, b net.Conn) {
	ended := make(chan struct{}, 2)
	pipe := func(to, from net.Conn) {
		// However it ends, it is the end of both.
		_, _ = io.Copy(to, from)
		ended <- struct{}{}
	}
	go pipe(a, b)
	go pipe(b, a)
	<-ended
	_ = a.Close()
	_ = b.Close()
}
