// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestUnknownFieldsAndMetadataPassBothWays(t *testing.T) {
	future := protowire.AppendString(protowire.AppendTag(nil, 4000, protowire.BytesType), "from the future")
	metadata := make(chan ttrpc.MD, 1)
	r := newRig(t, agree, map[string]*ttrpc.ServiceDesc{"some.other.Service": {Methods: map[string]ttrpc.Method{
		"Anything": method(func(ctx context.Context, q *task2.StateRequest) (*task2.StateResponse, error) {
			md, _ := ttrpc.GetMetadata(ctx)
			metadata <- md
			a := &task2.StateResponse{ID: q.ID}
			a.ProtoReflect().SetUnknown(q.ProtoReflect().GetUnknown())
			return a, nil
		}),
	}}})
	q := &task2.StateRequest{ID: "x"}
	q.ProtoReflect().SetUnknown(future)
	var a task2.StateResponse
	ctx := ttrpc.WithMetadata(t.Context(), ttrpc.MD{"key": []string{"one", "two"}})
	require.NoError(t, r.client().Call(ctx, "some.other.Service", "Anything", q, &a))
	require.Equal(t, "x", a.ID)
	require.Equal(t, future, []byte(a.ProtoReflect().GetUnknown()))
	require.Equal(t, ttrpc.MD{"key": []string{"one", "two"}}, receive(t, "metadata", metadata))
}

func TestStatusesPassWithDetails(t *testing.T) {
	st, err := status.New(codes.Aborted, "not today").WithDetails(wrapperspb.String("a detail"))
	require.NoError(t, err)
	r := newRig(t, agree, task(map[string]ttrpc.Method{
		"State": method(func(context.Context, *task2.StateRequest) (*task2.StateResponse, error) { return nil, st.Err() }),
	}))
	through, past := r.client(), r.direct()
	for _, call := range []struct{ service, method string }{
		{taskService, "State"}, {taskService, "NoSuchMethod"}, {"no.such.Service", "State"},
	} {
		got := through.Call(t.Context(), call.service, call.method, &task2.StateRequest{}, &task2.StateResponse{})
		want := past.Call(t.Context(), call.service, call.method, &task2.StateRequest{}, &task2.StateResponse{})
		require.Error(t, want)
		require.True(t, proto.Equal(status.Convert(want).Proto(), status.Convert(got).Proto()), "%v, direct %v", got, want)
	}
	got := through.Call(t.Context(), taskService, "State", &task2.StateRequest{}, &task2.StateResponse{})
	require.Len(t, status.Convert(got).Details(), 1)
}

func TestDeadlinesPass(t *testing.T) {
	left := method(func(ctx context.Context, _ *task2.StateRequest) (*wrapperspb.Int64Value, error) {
		d, ok := ctx.Deadline()
		if !ok {
			return wrapperspb.Int64(0), nil
		}
		return wrapperspb.Int64(int64(time.Until(d))), nil
	})
	r := newRig(t, agree, task(map[string]ttrpc.Method{"State": left, "Create": left}))
	c := r.client()
	for _, name := range []string{"State", "Create"} {
		var a wrapperspb.Int64Value
		require.NoError(t, c.Call(context.Background(), taskService, name, &task2.StateRequest{}, &a))
		require.Zero(t, a.Value, "none given, none passed on")
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		require.NoError(t, c.Call(ctx, taskService, name, &task2.StateRequest{}, &a))
		cancel()
		require.InDelta(t, float64(time.Hour), float64(a.Value), float64(limit), name)
		require.Less(t, a.Value, int64(time.Hour))
	}
}

func TestStreamsPass(t *testing.T) {
	r := newRig(t, agree, map[string]*ttrpc.ServiceDesc{"streams.Service": {Streams: map[string]ttrpc.Stream{
		"Echo": {
			Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				for {
					var m wrapperspb.BytesValue
					if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
						return nil, nil
					} else if err != nil {
						return nil, err
					}
					if err := s.SendMsg(&m); err != nil {
						return nil, err
					}
				}
			},
			StreamingClient: true, StreamingServer: true,
		},
	}}})
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stream, err := r.client().NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "streams.Service", "Echo", nil)
	require.NoError(t, err)
	for _, size := range []int{0, 1, bufferSize, 1 << 20} {
		sent := random(size)
		require.NoError(t, stream.SendMsg(wrapperspb.Bytes(sent)))
		var got wrapperspb.BytesValue
		require.NoError(t, stream.RecvMsg(&got))
		require.Equal(t, string(sent), string(got.Value))
	}
	require.NoError(t, stream.CloseSend())
	require.ErrorIs(t, stream.RecvMsg(&wrapperspb.BytesValue{}), io.EOF)
}

func TestLargeMessagesPass(t *testing.T) {
	r := newRig(t, agree, task(map[string]ttrpc.Method{"State": state}))
	callState(t, r.client(), strings.Repeat("x", maxData-100))
}

func TestAnOversizedRequestIsRefusedAndTheNextIsNot(t *testing.T) {
	r := newRig(t, agree, task(map[string]ttrpc.Method{"State": state}))
	conn := r.raw()
	_, err := conn.Write(frameOf(typeRequest, 1, make([]byte, maxData+1)))
	require.NoError(t, err)
	st := readStatus(t, conn, 1)
	require.Equal(t, codes.ResourceExhausted, st.Code())

	q, err := proto.Marshal(&ttrpc.Request{Service: taskService, Method: "State"})
	require.NoError(t, err)
	_, err = conn.Write(frameOf(typeRequest, 3, q))
	require.NoError(t, err)
	require.Equal(t, codes.OK, readStatus(t, conn, 3).Code())
}

func TestAMalformedRequestIsRefused(t *testing.T) {
	r := newRig(t, agree, task(nil))
	conn := r.raw()
	_, err := conn.Write(frameOf(typeRequest, 1, []byte{0xff}))
	require.NoError(t, err)
	require.Equal(t, codes.InvalidArgument, readStatus(t, conn, 1).Code())
}

// readStatus reads a response frame.
func readStatus(t *testing.T, from io.Reader, stream uint32) *status.Status {
	t.Helper()
	frames := newFrameReader(from)
	h, err := frames.next()
	require.NoError(t, err)
	require.EqualValues(t, typeResponse, h.kind)
	require.Equal(t, stream, h.stream)
	frame, err := frames.whole(h)
	require.NoError(t, err)
	var a ttrpc.Response
	require.NoError(t, proto.Unmarshal(frame[headerSize:], &a))
	return status.FromProto(a.Status)
}

func TestHangUpCancels(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	r := newRig(t, agree, task(map[string]ttrpc.Method{
		"Wait": method(func(ctx context.Context, _ *task2.WaitRequest) (*task2.WaitResponse, error) {
			close(started)
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}),
	}))
	c := r.client()
	done := make(chan error, 1)
	go func() {
		done <- c.Call(context.Background(), taskService, "Wait", &task2.WaitRequest{}, &task2.WaitResponse{})
	}()
	receive(t, "the call", started)
	require.NoError(t, c.Close())
	require.ErrorIs(t, receive(t, "cancellation in the inner shim", ended), context.Canceled)
	require.True(t, closed(receive(t, "the caller's end", done)))
}

func TestManyCallsBesideALongWait(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, agree, task(map[string]ttrpc.Method{
		"State": state,
		"Wait": method(func(context.Context, *task2.WaitRequest) (*task2.WaitResponse, error) {
			<-release
			return &task2.WaitResponse{ExitStatus: 42}, nil
		}),
		"Create": method(func(_ context.Context, q *task2.CreateTaskRequest) (*task2.CreateTaskResponse, error) {
			return &task2.CreateTaskResponse{Pid: uint32(len(q.ID))}, nil
		}),
	}))
	clients := []*ttrpc.Client{r.client(), r.client()}
	waited := make(chan uint32, 1)
	go func() {
		var a task2.WaitResponse
		_ = clients[0].Call(context.Background(), taskService, "Wait", &task2.WaitRequest{}, &a)
		waited <- a.ExitStatus
	}()
	var wg sync.WaitGroup
	errs := make(chan error, 10000)
	for i := range 40 {
		wg.Go(func() {
			c := clients[i%len(clients)]
			for j := range 50 {
				id := fmt.Sprintf("%d-%d", i, j)
				var a task2.StateResponse
				if err := c.Call(context.Background(), taskService, "State", &task2.StateRequest{ID: id}, &a); err != nil || a.ID != id {
					errs <- fmt.Errorf("state of %s: %q, %w", id, a.ID, err)
				}
				if j%10 == 0 {
					if err := create(context.Background(), c, id); err != nil {
						errs <- fmt.Errorf("creating %s: %w", id, err)
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	close(release)
	require.EqualValues(t, 42, receive(t, "Wait", waited))
}

func TestSandboxServicePasses(t *testing.T) {
	const service = "containerd.runtime.sandbox.v1.Sandbox"
	r := newRig(t, func(context.Context, string, string) error { return status.Error(codes.Internal, "asked") },
		map[string]*ttrpc.ServiceDesc{service: {Methods: map[string]ttrpc.Method{
			"CreateSandbox": method(func(context.Context, *emptypb.Empty) (*emptypb.Empty, error) { return &emptypb.Empty{}, nil }),
			"Create":        method(func(context.Context, *emptypb.Empty) (*emptypb.Empty, error) { return &emptypb.Empty{}, nil }),
		}}})
	c := r.client()
	for _, name := range []string{"CreateSandbox", "Create"} {
		require.NoError(t, c.Call(t.Context(), service, name, &emptypb.Empty{}, &emptypb.Empty{}), "not the Task service's Create")
	}
}
