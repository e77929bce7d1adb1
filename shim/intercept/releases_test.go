// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
)

// otherGuest is the guest of a neighbouring release: like this one's, apart from
// what it says.
type otherGuest struct {
	agentv1.TrustedStoreService
	prepared *agentv1.PrepareResponse
	status   *agentv1.StatusResponse
}

func (g *otherGuest) Prepare(ctx context.Context, r *agentv1.PrepareRequest) (*agentv1.PrepareResponse, error) {
	if _, err := g.TrustedStoreService.Prepare(ctx, r); err != nil {
		return nil, err
	}
	return g.prepared, nil
}

func (g *otherGuest) Status(context.Context, *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	return g.status, nil
}

// added is a message with a field that only a later release knows.
func added[M proto.Message](message M) M {
	field := protowire.AppendTag(nil, 1000, protowire.BytesType)
	message.ProtoReflect().SetUnknown(protowire.AppendString(field, "later"))
	return message
}

// older says the least that the contract has ever asked for: no sizes, no steps,
// no counters.
func older(g agentv1.TrustedStoreService) *otherGuest {
	return &otherGuest{
		TrustedStoreService: g,
		prepared:            &agentv1.PrepareResponse{},
		status:              &agentv1.StatusResponse{State: agentv1.State_STATE_READY},
	}
}

// newer says more than we know: fields, a step, a state.
func newer(g agentv1.TrustedStoreService) *otherGuest {
	return &otherGuest{
		TrustedStoreService: g,
		prepared:            added(&agentv1.PrepareResponse{Steps: []*agentv1.Step{added(&agentv1.Step{Name: "measure"})}}),
		status:              added(&agentv1.StatusResponse{State: 4711}),
	}
}

// TestGuestsOfOtherReleases: the host gets its store from them, and holds nothing
// against them that they don't say.
func TestGuestsOfOtherReleases(t *testing.T) {
	for name, release := range map[string]func(agentv1.TrustedStoreService) *otherGuest{"older": older, "newer": newer} {
		t.Run(name, func(t *testing.T) {
			disk := newLoop(t, 32*mebibyte)
			p := newPod(t, unhurried)
			g := release(p.guest)
			p.port.serve(t, func(s *ttrpc.Server) { agentv1.RegisterTrustedStoreService(s, g) })

			require.NoError(t, p.create(entry(disk.n)))
			p.requireReady(disk)
			require.NoError(t, p.create())

			// Who does not count requests does not say that they wait, which would
			// end the virtual machine (shim/store, hang.go).
			said, err := guest{url: "unix://" + p.port.path}.Status(t.Context(), &agentv1.StatusRequest{})
			require.NoError(t, err)
			require.Equal(t, g.status.GetState(), said.GetState())
			require.Zero(t, said.GetDiskRequestsWaiting())
		})
	}
}

// TestRefusalsOfOtherReleases: a reason that is missing, or that we don't know,
// leaves the code, which has a remedy.
func TestRefusalsOfOtherReleases(t *testing.T) {
	refusal := status.New(codes.FailedPrecondition, "unfit")
	unheard, err := refusal.WithDetails(added(&agentv1.Refusal{Reason: 4711}))
	require.NoError(t, err)
	foreign := unheard.Proto()
	foreign.Details = append(foreign.Details, &anypb.Any{TypeUrl: "type.googleapis.com/katates.agent.v1.Later", Value: []byte{0xff}})
	for name, answer := range map[string]error{
		"older":              refusal.Err(),
		"newer":              unheard.Err(),
		"newer, of new kind": status.FromProto(foreign).Err(),
	} {
		t.Run(name, func(t *testing.T) {
			disk := newLoop(t, 32*mebibyte)
			p := newPod(t, unhurried)
			p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(answer) })
			require.NoError(t, p.create())
			requireRefused(t, p.create(entry(disk.n)), codes.FailedPrecondition, "unfit", "on another volume", `besides, container "container-1" was created before`)
			p.requireUndone()
		})
	}
}

// TestGuestOfAnIncompatibleRelease is refused before anything is attached.
func TestGuestOfAnIncompatibleRelease(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	p.guest.set(func(g *fakeGuest) { g.protocol++ })
	requireRefused(t, p.create(entry(disk.n)), codes.FailedPrecondition, "speaks protocol 2 and this node speaks 1", "of the same release")
	require.Zero(t, p.vm.attaches)
}
