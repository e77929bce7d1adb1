// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/ttrpc"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
	"github.com/kata-tes/kata-tes/agentproto/traceparent"
	"github.com/kata-tes/kata-tes/shim/store"
	"github.com/kata-tes/kata-tes/shim/trace"
)

// guest is the agent extension in the guest whose Kata agent has that address.
//
// Each call has a connection of its own. There are two or three of them in a
// pod's life; a connection that was kept would cost memory in every pod, and an
// undo would find it broken just when it is needed.
type guest struct{ url string }

func (g guest) Version(ctx context.Context, r *agentv1.VersionRequest) (*agentv1.VersionResponse, error) {
	return call(ctx, g, agentv1.TrustedStoreService.Version, r)
}

func (g guest) Prepare(ctx context.Context, r *agentv1.PrepareRequest) (*agentv1.PrepareResponse, error) {
	return call(ctx, g, agentv1.TrustedStoreService.Prepare, r)
}

func (g guest) Status(ctx context.Context, r *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	return call(ctx, g, agentv1.TrustedStoreService.Status, r)
}

func (g guest) Release(ctx context.Context, r *agentv1.ReleaseRequest) (*agentv1.ReleaseResponse, error) {
	return call(ctx, g, agentv1.TrustedStoreService.Release, r)
}

// call does one call, which ends with ctx. The guest is told of ctx's deadline,
// and of its end by the connection's.
func call[Request, Response any](
	ctx context.Context, g guest,
	method func(agentv1.TrustedStoreService, context.Context, *Request) (*Response, error),
	request *Request,
) (*Response, error) {
	conn, err := dial.Dial(ctx, g.url, agentproto.Port)
	if errors.Is(err, dial.ErrRefused) {
		return nil, fmt.Errorf("%w: %w", store.ErrNoAgent, err)
	}
	if err != nil {
		return nil, err
	}
	client := ttrpc.NewClient(conn)
	defer func() { _ = client.Close() }() // always nil, and the answer is there
	if header := trace.FromContext(ctx).Call(); header != "" {
		ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{traceparent.Key: {header}})
	}
	return method(agentv1.NewTrustedStoreClient(client), ctx, request)
}
