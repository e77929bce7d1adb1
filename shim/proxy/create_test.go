// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// counted is a Create of the inner shim that counts.
func counted(n *atomic.Int32) ttrpc.Method {
	return method(func(_ context.Context, q *task2.CreateTaskRequest) (*task2.CreateTaskResponse, error) {
		n.Add(1)
		return &task2.CreateTaskResponse{Pid: 7}, nil
	})
}

func TestTheHookSeesWhatIsCreated(t *testing.T) {
	for _, service := range []string{"containerd.task.v2.Task", "containerd.task.v3.Task"} {
		asked := make(chan string, 1)
		var created atomic.Int32
		r := newRig(t, func(_ context.Context, id, bundle string) error {
			asked <- id + " " + bundle
			return nil
		}, map[string]*ttrpc.ServiceDesc{service: {Methods: map[string]ttrpc.Method{"Create": counted(&created)}}})
		var a task2.CreateTaskResponse
		require.NoError(t, r.client().Call(t.Context(), service, "Create", &task2.CreateTaskRequest{ID: "c", Bundle: "/b"}, &a))
		require.Equal(t, "c /b", receive(t, "the hook", asked))
		require.EqualValues(t, 7, a.Pid)
		require.EqualValues(t, 1, created.Load())
	}
}

func TestTheOriginalRequestIsForwarded(t *testing.T) {
	future := protowire.AppendString(protowire.AppendTag(nil, 4000, protowire.BytesType), "from the future")
	got := make(chan *task2.CreateTaskRequest, 1)
	metadata := make(chan ttrpc.MD, 1)
	r := newRig(t, agree, task(map[string]ttrpc.Method{
		"Create": method(func(ctx context.Context, q *task2.CreateTaskRequest) (*task2.CreateTaskResponse, error) {
			md, _ := ttrpc.GetMetadata(ctx)
			metadata <- md
			got <- q
			return &task2.CreateTaskResponse{}, nil
		}),
	}))
	sent := &task2.CreateTaskRequest{ID: "c", Bundle: "/b", Terminal: true, Stdin: strings.Repeat("long", 10000)}
	sent.ProtoReflect().SetUnknown(future)
	ctx, cancel := context.WithTimeout(ttrpc.WithMetadata(t.Context(), ttrpc.MD{"k": {"v"}}), limit)
	defer cancel()
	require.NoError(t, r.client().Call(ctx, taskService, "Create", sent, &task2.CreateTaskResponse{}))
	require.True(t, proto.Equal(sent, receive(t, "the request", got)))
	require.Equal(t, ttrpc.MD{"k": {"v"}}, receive(t, "metadata", metadata))
}

func TestARefusalIsTheAnswer(t *testing.T) {
	detailed, err := status.New(codes.FailedPrecondition, "use another disk").WithDetails(wrapperspb.String("why"))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		reason  error
		code    codes.Code
		message string
	}{
		"status":        {status.Error(codes.Unavailable, "try again"), codes.Unavailable, "try again"},
		"details":       {detailed.Err(), codes.FailedPrecondition, "use another disk"},
		"errdefs":       {fmt.Errorf("no such disk: %w", errdefs.ErrNotFound), codes.NotFound, "no such disk: not found"},
		"deadline":      {context.DeadlineExceeded, codes.DeadlineExceeded, "context deadline exceeded"},
		"plain":         {errors.New("whatever"), codes.Unknown, "whatever"},
		"claims OK":     {claimsOK{}, codes.Unknown, "claims to be fine"},
		"several lines": {status.Error(codes.Internal, "one\ntwo"), codes.Internal, "one\ntwo"},
		"huge":          {status.Error(codes.Internal, strings.Repeat("x", 2*maxData)), codes.Internal, strings.Repeat("x", maxMessage) + " (cut)"},
	} {
		t.Run(name, func(t *testing.T) {
			var created atomic.Int32
			r := newRig(t, func(context.Context, string, string) error { return test.reason }, task(map[string]ttrpc.Method{
				"Create": counted(&created), "State": state,
			}))
			c := r.client()
			st := status.Convert(create(t.Context(), c, "c"))
			require.Equal(t, test.code, st.Code())
			require.Equal(t, test.message, st.Message())
			if name == "details" {
				require.Len(t, st.Details(), 1)
			}
			require.Zero(t, created.Load(), "the inner shim never heard of it")
			callState(t, c, "still there")
		})
	}
}

// claimsOK is an error whose status says that it is none.
type claimsOK struct{}

func (claimsOK) Error() string              { return "claims to be fine" }
func (claimsOK) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

// ttrpc servers refuse a stream id below one they have seen; a held Create has
// one when it is let go.
func TestOtherCallsGoOnWhileCreateIsHeld(t *testing.T) {
	release := make(chan struct{})
	var created atomic.Int32
	r := newRig(t, func(ctx context.Context, _, _ string) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, task(map[string]ttrpc.Method{"Create": counted(&created), "State": state}))
	c := r.client()
	done := make(chan error, 2)
	for _, id := range []string{"a", "b"} {
		go func() { done <- create(context.Background(), c, id) }()
	}
	for range 20 {
		callState(t, c, "x")
	}
	require.Zero(t, created.Load())
	close(release)
	require.NoError(t, receive(t, "Create", done))
	require.NoError(t, receive(t, "Create", done))
	callState(t, c, "x")
}

func TestTheHooksTimeIsTakenOffTheDeadline(t *testing.T) {
	const spent = 300 * time.Millisecond
	left := make(chan time.Duration, 1)
	r := newRig(t, func(ctx context.Context, _, _ string) error {
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > limit {
			return status.Error(codes.Internal, "the hook has no deadline")
		}
		time.Sleep(spent) // the work of a hook
		return nil
	}, task(map[string]ttrpc.Method{
		"Create": method(func(ctx context.Context, _ *task2.CreateTaskRequest) (*task2.CreateTaskResponse, error) {
			d, _ := ctx.Deadline()
			left <- time.Until(d)
			return &task2.CreateTaskResponse{}, nil
		}),
	}))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	require.NoError(t, create(ctx, r.client(), "c"))
	got := receive(t, "Create", left)
	require.Less(t, got, limit-spent)
	require.Greater(t, got, limit/2)
}

func TestADeadlineThatPassesInTheHook(t *testing.T) {
	var created atomic.Int32
	ended := make(chan error, 1)
	r := newRig(t, func(ctx context.Context, _, _ string) error {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil // a hook that overlooks its deadline
	}, task(map[string]ttrpc.Method{"Create": counted(&created)}))
	conn := r.raw()
	payload, err := proto.Marshal(&task2.CreateTaskRequest{ID: "c", Bundle: "/b"})
	require.NoError(t, err)
	// Written by hand: ttrpc's client would give up by itself.
	q, err := proto.Marshal(&ttrpc.Request{Service: taskService, Method: "Create", Payload: payload, TimeoutNano: int64(50 * time.Millisecond)})
	require.NoError(t, err)
	_, err = conn.Write(frameOf(typeRequest, 1, q))
	require.NoError(t, err)
	require.ErrorIs(t, receive(t, "the hook's deadline", ended), context.DeadlineExceeded)
	require.Equal(t, codes.DeadlineExceeded, readStatus(t, conn, 1).Code())
	require.Zero(t, created.Load())
}

func TestHangUpEndsTheHook(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	var created atomic.Int32
	r := newRig(t, func(ctx context.Context, _, _ string) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil
	}, task(map[string]ttrpc.Method{"Create": counted(&created), "State": state}))
	c, other := r.client(), r.client()
	go func() { _ = create(context.Background(), c, "c") }()
	receive(t, "the hook", started)
	require.NoError(t, c.Close())
	require.ErrorIs(t, receive(t, "the hook's end", ended), context.Canceled)
	callState(t, other, "another connection is not concerned")
	require.Zero(t, created.Load())
}

func TestHangUpCancelsTheInnerCreate(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	r := newRig(t, agree, task(map[string]ttrpc.Method{
		"Create": method(func(ctx context.Context, _ *task2.CreateTaskRequest) (*task2.CreateTaskResponse, error) {
			close(started)
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}),
	}))
	c := r.client()
	go func() { _ = create(context.Background(), c, "c") }()
	receive(t, "the inner Create", started)
	require.NoError(t, c.Close())
	require.ErrorIs(t, receive(t, "its cancellation", ended), context.Canceled)
}

func TestAMalformedCreateIsNotForwarded(t *testing.T) {
	var created atomic.Int32
	r := newRig(t, func(context.Context, string, string) error {
		return status.Error(codes.Internal, "must not be asked")
	}, task(map[string]ttrpc.Method{"Create": counted(&created)}))
	conn := r.raw()
	q, err := proto.Marshal(&ttrpc.Request{Service: taskService, Method: "Create", Payload: []byte{0xff}})
	require.NoError(t, err)
	_, err = conn.Write(frameOf(typeRequest, 1, q))
	require.NoError(t, err)
	require.Equal(t, codes.InvalidArgument, readStatus(t, conn, 1).Code())
	require.Zero(t, created.Load())
}
