// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	task3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

func TestWhichKillsAreSIGKILL(t *testing.T) {
	sigkill := uint32(syscall.SIGKILL)
	for name, c := range map[string]struct {
		m    proto.Message
		want bool
	}{
		"task v2":        {&task2.KillRequest{ID: "c", Signal: sigkill}, true},
		"task v3":        {&task3.KillRequest{ID: "c", Signal: sigkill}, true},
		"all processes":  {&task3.KillRequest{ID: "c", Signal: sigkill, All: true}, true},
		"SIGTERM":        {&task3.KillRequest{ID: "c", Signal: uint32(syscall.SIGTERM)}, false},
		"executed in it": {&task3.KillRequest{ID: "c", ExecID: "e", Signal: sigkill}, false},
		"no signal":      {&task2.KillRequest{ID: "c"}, false},
	} {
		payload, err := proto.Marshal(c.m)
		require.NoError(t, err)
		require.Equal(t, c.want, isSIGKILL(payload), name)
	}
	require.False(t, isSIGKILL([]byte{0x18}), "cut off")
	require.False(t, isSIGKILL([]byte{0x1a, 1, 9}), "a signal in bytes")
}

func FuzzIsSIGKILL(f *testing.F) {
	for _, m := range []proto.Message{&task3.KillRequest{ID: "c", Signal: 9, All: true}, &task3.KillRequest{ExecID: "e", Signal: 9}} {
		payload, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var real task3.KillRequest
		if proto.Unmarshal(payload, &real) != nil {
			_ = isSIGKILL(payload) // the inner shim refuses it
			return
		}
		require.Equal(t, real.Signal == uint32(syscall.SIGKILL) && real.ExecID == "", isSIGKILL(payload))
	})
}

// killCounter counts what it hears of.
type killCounter struct{ kills atomic.Int32 }

func (*killCounter) Create(context.Context, string, string) error { return nil }
func (k *killCounter) Killed()                                    { k.kills.Add(1) }
func (*killCounter) Forwarded()                                   {}

// The hook hears of it, and the inner shim gets the call as it is.
func TestSIGKILLIsNoticed(t *testing.T) {
	var got atomic.Pointer[task3.KillRequest]
	hook := &killCounter{}
	r := newRigWith(t, hook, map[string]*ttrpc.ServiceDesc{"containerd.task.v3.Task": {Methods: map[string]ttrpc.Method{
		"Kill": func(_ context.Context, unmarshal func(any) error) (any, error) {
			request := &task3.KillRequest{}
			err := unmarshal(request)
			got.Store(request)
			return &emptypb.Empty{}, err
		},
	}}})
	client := task3.NewTTRPCTaskClient(r.client())
	for i, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGKILL} {
		sent := &task3.KillRequest{ID: "c", Signal: uint32(signal), All: true}
		_, err := client.Kill(t.Context(), sent)
		require.NoError(t, err)
		require.True(t, proto.Equal(sent, got.Load()))
		require.EqualValues(t, i, hook.kills.Load())
	}
}
