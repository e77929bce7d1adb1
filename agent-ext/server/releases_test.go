// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// added is a message with a field that only a later release knows.
func added[M proto.Message](message M) M {
	field := protowire.AppendTag(nil, 1000, protowire.BytesType)
	message.ProtoReflect().SetUnknown(protowire.AppendString(field, "later"))
	return message
}

// TestHostOfANewerRelease: what it adds to its requests is ignored, and changes
// nothing of what they mean.
func TestHostOfANewerRelease(t *testing.T) {
	c := client(t, serve(t, time.Minute))
	ctx := within(t, patience)
	marker := string(agentproto.NewMarker())
	version, err := c.Version(ctx, added(&agentv1.VersionRequest{}))
	require.NoError(t, err)
	require.Equal(t, agentproto.ProtocolVersion, version.GetProtocol())

	outcome := make(chan error, 1)
	go func() {
		_, err := c.Prepare(ctx, added(&agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: marker}))
		outcome <- err
	}()
	require.Eventually(t, func() bool {
		answer, err := c.Status(ctx, added(&agentv1.StatusRequest{Store: agentproto.ImageStore}))
		return err == nil && answer.GetState() == agentv1.State_STATE_PREPARING && answer.GetMarker() == marker
	}, patience, time.Millisecond)
	_, err = c.Release(ctx, added(&agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: marker}))
	require.NoError(t, err)
	require.Equal(t, codes.Canceled, status.Code(<-outcome))
}

// TestHostOfTheFirstRelease has its requests byte by byte, whatever messages have
// become since: fields 1 and 2 are texts, store and marker.
func TestHostOfTheFirstRelease(t *testing.T) {
	c := ttrpc.NewClient(connect(t, serve(t, time.Minute)))
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	call := func(method string, answer proto.Message, fields ...string) error {
		var sent []byte
		for i, text := range fields {
			sent = protowire.AppendTag(sent, protowire.Number(i+1), protowire.BytesType)
			sent = protowire.AppendString(sent, text)
		}
		request := &emptypb.Empty{}
		request.ProtoReflect().SetUnknown(sent)
		return c.Call(within(t, patience), service, method, request, answer)
	}
	version, state := &agentv1.VersionResponse{}, &agentv1.StatusResponse{}
	require.NoError(t, call("Version", version))
	require.EqualValues(t, 1, version.GetProtocol())
	require.NoError(t, call("Status", state, "trusted_store"))
	require.Equal(t, agentv1.State_STATE_ABSENT, state.GetState())

	const marker = "tes-0123456789abcdef"
	outcome := make(chan error, 1)
	go func() { outcome <- call("Prepare", &emptypb.Empty{}, "trusted_store", marker) }()
	require.Eventually(t, func() bool {
		return call("Status", state, "trusted_store") == nil && state.GetState() == agentv1.State_STATE_PREPARING && state.GetMarker() == marker
	}, patience, time.Millisecond)
	require.NoError(t, call("Release", &emptypb.Empty{}, "trusted_store", marker))
	require.Equal(t, codes.Canceled, status.Code(<-outcome))
}

// TestCallsOfALaterContract: what this guest does not serve it says so of, in
// the way that a host goes by.
func TestCallsOfALaterContract(t *testing.T) {
	c := ttrpc.NewClient(connect(t, serve(t, time.Minute)))
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	for _, call := range [][2]string{{service, "Resize"}, {"katates.agent.v2.TrustedStore", "Version"}} {
		err := c.Call(within(t, patience), call[0], call[1], &agentv1.VersionRequest{}, &agentv1.VersionResponse{})
		require.Equal(t, codes.Unimplemented, status.Code(err), "%v: %v", call, err)
	}
}
