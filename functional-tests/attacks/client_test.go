// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
)

// with calls the guest on a connection of its own, as our shim does.
func (r *rig) with(ctx context.Context, do func(agentv1.TrustedStoreService) error) error {
	conn, err := dial.Dial(ctx, r.sandbox.AgentURL(), agentproto.Port)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	return errors.Join(do(agentv1.NewTrustedStoreClient(client)), client.Close())
}

func (r *rig) prepare(ctx context.Context, store string, marker agentproto.Marker) (answer *agentv1.PrepareResponse, err error) {
	err = r.with(ctx, func(guest agentv1.TrustedStoreService) (err error) {
		answer, err = guest.Prepare(ctx, &agentv1.PrepareRequest{Store: store, Marker: string(marker)})
		return err
	})
	return answer, err
}

func (r *rig) release(ctx context.Context, marker agentproto.Marker) error {
	return r.with(ctx, func(guest agentv1.TrustedStoreService) error {
		_, err := guest.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: string(marker)})
		return err
	})
}

func (r *rig) status(ctx context.Context) (answer *agentv1.StatusResponse, err error) {
	err = r.with(ctx, func(guest agentv1.TrustedStoreService) (err error) {
		answer, err = guest.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
		return err
	})
	return answer, err
}

// tryPrepare gives the guest's error.
func (a *attempt) tryPrepare(marker agentproto.Marker) error {
	return a.prepareWithin(patience, marker)
}

func (a *attempt) prepareWithin(limit time.Duration, marker agentproto.Marker) error {
	ctx, cancel := context.WithTimeout(a.Context(), limit)
	defer cancel()
	_, err := a.prepare(ctx, agentproto.ImageStore, marker)
	return err
}

func (a *attempt) mustPrepare(marker agentproto.Marker) *agentv1.PrepareResponse {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	answer, err := a.prepare(ctx, agentproto.ImageStore, marker)
	require.NoError(a, err)
	return answer
}

func (a *attempt) tryRelease(marker agentproto.Marker) error {
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	return a.release(ctx, marker)
}

func (a *attempt) mustRelease(marker agentproto.Marker) {
	a.Helper()
	require.NoError(a, a.tryRelease(marker))
}

// preparing calls Prepare in the background.
func (a *attempt) preparing(marker agentproto.Marker) (outcome func() error) {
	ended := make(chan error, 1)
	go func() { ended <- a.tryPrepare(marker) }()
	return func() error { return <-ended }
}

// ready attaches a disk and makes it the store, with a file in it that tells
// whether it is still the same. The store is released when the test ends.
func (a *attempt) ready() (d *disk, requireIntact func()) {
	a.Helper()
	d = a.disk(size)
	marker := agentproto.NewMarker()
	d.plug(marker)
	a.mustPrepare(marker)
	a.sh("echo intact >/run/image/witness; sync")
	a.Cleanup(func() { require.NoError(a, a.release(context.Background(), marker)) })
	return d, func() {
		a.Helper()
		a.sh("echo 3 >/proc/sys/vm/drop_caches")
		require.Equal(a, "intact\n", a.sh("cat /run/kata-containers/image/witness"))
		answer := a.state(a.T)
		require.Equal(a, agentv1.State_STATE_READY, answer.GetState())
		require.Equal(a, string(marker), answer.GetMarker())
	}
}

func codeOf(err error) codes.Code {
	if errors.Is(err, context.DeadlineExceeded) { // the client's own clock was first
		return codes.DeadlineExceeded
	}
	return status.Code(err)
}

// reasonOf is what the guest adds to its refusal.
func reasonOf(err error) agentv1.Reason {
	for _, detail := range status.Convert(err).Details() {
		if refusal, ok := detail.(*agentv1.Refusal); ok {
			return refusal.GetReason()
		}
	}
	return agentv1.Reason_REASON_UNSPECIFIED
}
