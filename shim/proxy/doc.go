// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package proxy forwards ttrpc between containerd and the inner shim, frame by
// frame (github.com/containerd/ttrpc, PROTOCOL.md).
//
// Frames are copied as they are, so that methods that this code has never
// heard of, unknown fields, status codes with details, deadlines, metadata and
// streams pass without anybody having to think of them. Each of containerd's
// connections has one of its own to the inner shim: a hang-up of either side
// hangs up the other, which is how ttrpc cancels.
//
// Of a request only the routing header is decoded. One call is held back:
// Create of the Task service. It waits in a goroutine of its own until the
// Hook has agreed, while other calls go on. Then the original request
// goes to the inner shim over a *further* connection: a ttrpc server refuses a
// stream id below one that it has seen, and by now it may have seen later
// calls on the first. With a connection of its own the request keeps its id,
// and no table of translated ids is needed.
//
// The server ends when the inner shim ends, which a connection that carries
// nothing (the lifeline) tells.
package proxy

import "context"

// Hook agrees to a container's creation, or says why not, and hears of what ends
// containers.
type Hook interface {
	// Create is called for each Create request before it is forwarded. The
	// context has the request's deadline and ends when containerd's
	// connection hangs up. A nil error forwards the request; any other is
	// the answer, as the gRPC status that it carries or that errdefs gives
	// it.
	Create(ctx context.Context, id, bundle string) error
	// Killed is called for each SIGKILL to a container, when it is forwarded. It
	// must not wait.
	Killed()
}
