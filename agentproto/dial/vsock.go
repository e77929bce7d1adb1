// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package dial

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"
)

// vsockTarget is a port of a virtual machine (vsock(7)).
type vsockTarget struct{ cid, port uint32 }

func (t vsockTarget) String() string { return fmt.Sprintf("vsock://%d:%d", t.cid, t.port) }

func (t vsockTarget) connect(ctx context.Context) (net.Conn, error) {
	conn, err := vsock.DialContext(ctx, t.cid, t.port, nil)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("opening a vsock (load the module vhost_vsock): %w", err)
	}
	if err != nil {
		// Not conn: a nil *vsock.Conn would make a net.Conn that is not nil.
		return nil, refused(err)
	}
	return conn, nil
}
