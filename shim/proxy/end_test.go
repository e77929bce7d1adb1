// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"io"
	"net"
	"testing"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Kata's shim exits instead of answering Shutdown.
func TestAShutdownThatEndsTheInnerShimSucceeds(t *testing.T) {
	var r *rig
	ready := make(chan struct{})
	r = newRig(t, agree, task(map[string]ttrpc.Method{
		"Shutdown": method(func(context.Context, *task2.ShutdownRequest) (*emptypb.Empty, error) {
			<-ready
			r.endInner()
			select {} // as after os.Exit
		}),
	}))
	c := r.client()
	close(ready)
	require.NoError(t, shutdown(c))
	require.True(t, r.gone.Load(), "cleaned up before containerd knows")
	require.NoError(t, r.waitServed())
}

func TestAShutdownThatIsAnswered(t *testing.T) {
	r := newRig(t, agree, task(map[string]ttrpc.Method{
		"State": state,
		"Shutdown": method(func(context.Context, *task2.ShutdownRequest) (*emptypb.Empty, error) {
			return &emptypb.Empty{}, nil
		}),
	}))
	c := r.client()
	require.NoError(t, shutdown(c))
	callState(t, c, "containers remain")
	require.False(t, r.gone.Load())
}

func TestTheInnerShimsEndEndsEverything(t *testing.T) {
	started, asked := make(chan struct{}), make(chan struct{})
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	r := newRig(t, func(ctx context.Context, _, _ string) error {
		close(asked)
		<-ctx.Done()
		return ctx.Err()
	}, task(map[string]ttrpc.Method{
		"State": state,
		"Wait": method(func(context.Context, *task2.WaitRequest) (*task2.WaitResponse, error) {
			close(started)
			<-hold
			return nil, io.EOF
		}),
	}))
	c, idle := r.client(), r.client()
	callState(t, idle, "connected")
	done, held := make(chan error, 1), make(chan error, 1)
	go func() {
		done <- c.Call(context.Background(), taskService, "Wait", &task2.WaitRequest{}, &task2.WaitResponse{})
	}()
	receive(t, "Wait", started)
	go func() { held <- create(context.Background(), c, "c") }()
	receive(t, "Create", asked)
	r.endInner()
	require.True(t, closed(receive(t, "the end of Wait", done)))
	err := receive(t, "the end of Create", held)
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "Kata's shim has ended while the container was being created")
	require.NoError(t, r.waitServed())
	require.True(t, r.gone.Load())
	require.Error(t, idle.Call(context.Background(), taskService, "State", &task2.StateRequest{}, &task2.StateResponse{}))
}

// A containerd that does not read must not keep the process alive.
func TestTheEndDoesNotWaitForAStuckReader(t *testing.T) {
	r := newRig(t, agree, task(map[string]ttrpc.Method{"State": method(
		func(context.Context, *task2.StateRequest) (*task2.StateResponse, error) {
			return &task2.StateResponse{ID: string(make([]byte, 3<<20))}, nil
		})}))
	conn := r.raw()
	q := []byte("\x0a\x17containerd.task.v2.Task\x12\x05State")
	for i := range 5 {
		_, err := conn.Write(frameOf(typeRequest, uint32(2*i+1), q))
		require.NoError(t, err)
	}
	one := make([]byte, 1)
	_, err := io.ReadFull(conn, one)
	require.NoError(t, err, "answers have begun")
	r.endInner()
	require.NoError(t, r.waitServed())
}

func TestOurEndLeavesTheInnerShimAlone(t *testing.T) {
	r := newRig(t, agree, task(map[string]ttrpc.Method{"State": state}))
	callState(t, r.client(), "through")
	r.stop()
	require.ErrorIs(t, r.waitServed(), context.Canceled)
	require.False(t, r.gone.Load())
	callState(t, r.direct(), "past")
}

func TestNoInnerShim(t *testing.T) {
	noLeaks(t)
	_, err := New(t.Context(), Options{Inner: unixScheme + t.TempDir() + "/none", Log: logrus.NewEntry(logrus.New())})
	require.ErrorContains(t, err, "connecting to the shim")
}

func TestAddresses(t *testing.T) {
	name, abstract := SocketName("unix:///run/containerd/s/abc")
	require.Equal(t, "/run/containerd/s/abc", name)
	require.False(t, abstract)
	name, abstract = SocketName("/containerd-shim/k8s.io/abc/shim.sock")
	require.Equal(t, "@/containerd-shim/k8s.io/abc/shim.sock", name)
	require.True(t, abstract)

	noLeaks(t)
	l, err := net.Listen("unix", "@/kata-tes-test/"+t.Name())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	conn, err := Dial(t.Context(), "/kata-tes-test/"+t.Name())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// The inner shim ends while it has the Create.
func TestTheInnerShimsEndAnswersAForwardedCreate(t *testing.T) {
	var r *rig
	ready := make(chan struct{})
	r = newRig(t, agree, task(map[string]ttrpc.Method{
		"Create": method(func(context.Context, *task2.CreateTaskRequest) (*task2.CreateTaskResponse, error) {
			<-ready
			r.endInner()
			select {} // as after a SIGKILL
		}),
	}))
	c := r.client()
	close(ready)
	err := create(context.Background(), c, "c")
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	require.NoError(t, r.waitServed())
}
