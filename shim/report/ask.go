// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"
)

var (
	// ErrNoSocket says that the sandbox's process has no status socket.
	ErrNoSocket = errors.New("its shim has no status socket: it is of an older release, or the sandbox is just starting or ending")
	// ErrEnded says that the serving process has ended without its sandbox.
	ErrEnded = errors.New("its kata-tes process has ended; delete the pod and create it again")
	// ErrSilent says that the serving process hangs.
	ErrSilent = errors.New("its kata-tes process does not answer")
)

// Ask asks the serving process at that socket. ctx must have a deadline. Its
// errors are those above, ErrNoDocument and the socket's.
func Ask(ctx context.Context, path string) (Sandbox, error) {
	content, err := read(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Sandbox{}, fmt.Errorf("%w (%s)", ErrNoSocket, path)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), err == nil && len(content) == 0:
		return Sandbox{}, fmt.Errorf("%w (%s)", ErrEnded, path)
	case err != nil && ctx.Err() != nil:
		return Sandbox{}, fmt.Errorf("%w (%s)", ErrSilent, path)
	case err != nil:
		return Sandbox{}, fmt.Errorf("asking for the sandbox's status: %w", err)
	}
	return parse(content)
}

// read reads to the end of the answer, and one byte more than it may have.
func read(ctx context.Context, path string) (content []byte, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails on a closed socket only
	})()
	return io.ReadAll(io.LimitReader(conn, maxDocument+1))
}
