// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
)

const taskService = "containerd.task.v2.Task"

// limit is how long anything in these tests may take that should be at once.
const limit = 20 * time.Second

// hookFunc is a hook made of a function.
type hookFunc func(ctx context.Context, id, bundle string) error

func (f hookFunc) Create(ctx context.Context, id, bundle string) error { return f(ctx, id, bundle) }

func (hookFunc) Killed() {}

func agree(context.Context, string, string) error { return nil }

// rig is a real ttrpc server, the proxy before it, and the ways to both.
type rig struct {
	t          *testing.T
	inner      *ttrpc.Server
	innerPath  string
	outerPath  string
	served     chan error
	stop       context.CancelFunc
	gone       atomic.Bool
	closeInner sync.Once
}

// newRig serves a description for the Task service, and any other as well.
func newRig(t *testing.T, hook hookFunc, services map[string]*ttrpc.ServiceDesc) *rig {
	t.Helper()
	return newRigWith(t, hook, services)
}

func newRigWith(t *testing.T, hook Hook, services map[string]*ttrpc.ServiceDesc) *rig {
	t.Helper()
	noLeaks(t)
	dir, err := os.MkdirTemp("", "px")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	r := &rig{t: t, innerPath: filepath.Join(dir, "i"), outerPath: filepath.Join(dir, "o"), served: make(chan error, 1)}

	r.inner, err = ttrpc.NewServer()
	require.NoError(t, err)
	for name, desc := range services {
		r.inner.RegisterService(name, desc)
	}
	innerListener, err := net.Listen("unix", r.innerPath)
	require.NoError(t, err)
	go func() { _ = r.inner.Serve(context.Background(), innerListener) }()
	t.Cleanup(r.endInner)

	log := logrus.New()
	log.SetOutput(io.Discard)
	server, err := New(t.Context(), Options{
		Inner: unixScheme + r.innerPath, Hook: hook, Gone: func() { r.gone.Store(true) }, Log: logrus.NewEntry(log),
	})
	require.NoError(t, err)
	outer, err := net.Listen("unix", r.outerPath)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	t.Cleanup(stop)
	go func() { r.served <- server.Serve(ctx, outer) }()
	return r
}

func (r *rig) endInner() {
	r.closeInner.Do(func() { _ = r.inner.Close() })
}

// client talks through the proxy, direct past it.
func (r *rig) client() *ttrpc.Client { return r.dial(r.outerPath) }
func (r *rig) direct() *ttrpc.Client { return r.dial(r.innerPath) }

func (r *rig) dial(path string) *ttrpc.Client {
	conn, err := net.Dial("unix", path)
	require.NoError(r.t, err)
	c := ttrpc.NewClient(conn)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw is a connection through the proxy for frames of the test's own.
func (r *rig) raw() net.Conn {
	conn, err := net.Dial("unix", r.outerPath)
	require.NoError(r.t, err)
	require.NoError(r.t, conn.SetDeadline(time.Now().Add(limit)))
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// waitServed waits for Serve's result.
func (r *rig) waitServed() error {
	select {
	case err := <-r.served:
		return err
	case <-time.After(limit):
		r.t.Fatal("Serve did not return")
		return nil
	}
}

// method makes a handler out of a function over concrete messages.
func method[Q any, A any](f func(ctx context.Context, q *Q) (*A, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		q := new(Q)
		if err := unmarshal(q); err != nil {
			return nil, err
		}
		a, err := f(ctx, q)
		if err != nil {
			return nil, err // not a typed nil
		}
		return a, nil
	}
}

// task is a Task service of the given methods.
func task(methods map[string]ttrpc.Method) map[string]*ttrpc.ServiceDesc {
	return map[string]*ttrpc.ServiceDesc{taskService: {Methods: methods}}
}

// state answers State with the container's id as its stdin.
var state = method(func(_ context.Context, q *task2.StateRequest) (*task2.StateResponse, error) {
	return &task2.StateResponse{ID: q.ID}, nil
})

func callState(t *testing.T, c *ttrpc.Client, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var a task2.StateResponse
	require.NoError(t, c.Call(ctx, taskService, "State", &task2.StateRequest{ID: id}, &a))
	require.Equal(t, id, a.ID)
}

func create(ctx context.Context, c *ttrpc.Client, id string) error {
	return c.Call(ctx, taskService, "Create", &task2.CreateTaskRequest{ID: id, Bundle: "/bundle/" + id}, &task2.CreateTaskResponse{})
}

func shutdown(c *ttrpc.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.Call(ctx, taskService, "Shutdown", &task2.ShutdownRequest{ID: "sandbox"}, &emptypb.Empty{})
}

// receive waits for a value.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatal("waited in vain for " + what)
		panic("unreachable")
	}
}

// noLeaks compares descriptors and goroutines of this package with those
// before the test, once everything has been closed.
func noLeaks(t *testing.T) {
	t.Helper()
	fds, routines := openFiles(t), ourGoroutines()
	t.Cleanup(func() {
		until := time.Now().Add(limit)
		for openFiles(t) > fds || ourGoroutines() > routines {
			if time.Now().After(until) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d descriptors, %d before; %d goroutines, %d before\n%s",
					openFiles(t), fds, ourGoroutines(), routines, stacks[:runtime.Stack(stacks, true)])
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func ourGoroutines() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(stack, "shim/proxy.(*") {
			n++
		}
	}
	return n
}

// closed says whether an error is a connection's end.
func closed(err error) bool {
	return errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
