// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/containerd/ttrpc"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// pipes is a listener whose connections nothing buffers: whatever the server
// does not read, its caller cannot write.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     *sync.Once
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.accepted <- theirs
	return ours
}

// servePipes starts a server whose store never finds a disk.
func servePipes(t testing.TB) (pipes, *store.Store) {
	t.Helper()
	listener := pipes{accepted: make(chan net.Conn), closed: make(chan struct{}), once: &sync.Once{}}
	return listener, serveOn(t, listener, time.Minute)
}

// request is a frame that calls a method of ours.
func request(t testing.TB, stream uint32, service, method string, timeout int64, message proto.Message) []byte {
	t.Helper()
	payload, err := proto.Marshal(message)
	require.NoError(t, err)
	body, err := proto.Marshal(&ttrpc.Request{Service: service, Method: method, Payload: payload, TimeoutNano: timeout})
	require.NoError(t, err)
	return frame(uint32(len(body)), stream, frameRequest, body)
}

const service = "katates.agent.v1.TrustedStore"

// A caller that asks on and on and reads no answer is hung up on before it has
// cost more than some goroutines.
func TestUnansweredRequests(t *testing.T) {
	listener, _ := servePipes(t)
	conn := listener.dial()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	var err error
	asked := 0
	for ; err == nil && asked < 10*maxUnanswered; asked++ {
		_, err = conn.Write(request(t, uint32(2*asked+1), service, "Version", 0, &agentv1.VersionRequest{}))
	}
	require.ErrorIs(t, err, io.ErrClosedPipe, "after %d requests", asked)
	require.Less(t, asked, 2*maxUnanswered)
	require.NoError(t, conn.Close())

	// Who reads may ask as often as he likes.
	polite := listener.dial()
	defer func() { require.NoError(t, polite.Close()) }()
	c := ttrpc.NewClient(polite)
	for range 10 * maxUnanswered {
		_, err := agentv1.NewTrustedStoreClient(c).Version(within(t, patience), &agentv1.VersionRequest{})
		require.NoError(t, err)
	}
}

// brokenConn is a connection that fails in a way that is not the peer's end.
type brokenConn struct{ net.Conn }

func (brokenConn) Read([]byte) (int, error) { return 0, syscall.ETIMEDOUT }

// A connection that breaks gives its place back, however it breaks.
func TestBrokenConnections(t *testing.T) {
	listener, _ := servePipes(t)
	for range 2 * maxConnections {
		ours, theirs := net.Pipe()
		// Before the server has it, which may have closed it at any moment after.
		require.NoError(t, ours.SetDeadline(time.Now().Add(patience)))
		listener.accepted <- brokenConn{theirs}
		_, err := ours.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "it is closed")
	}
	c := ttrpc.NewClient(listener.dial())
	defer func() { require.NoError(t, c.Close()) }()
	_, err := agentv1.NewTrustedStoreClient(c).Version(within(t, patience), &agentv1.VersionRequest{})
	require.NoError(t, err)
}

// known are the codes that trusted_store.proto lists, and those of a transport.
var known = []codes.Code{
	codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.DataLoss,
	codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unimplemented, codes.ResourceExhausted,
}

// FuzzRequests sends a stream of bytes to a real server: it answers with whole
// frames and known codes, or hangs up, and goes on for others; when the caller
// has gone, so has what was begun for it.
func FuzzRequests(f *testing.F) {
	marker := string(agentproto.NewMarker())
	whole := slices.Concat(
		request(f, 1, service, "Version", 0, &agentv1.VersionRequest{}),
		request(f, 3, service, "Status", 0, &agentv1.StatusRequest{Store: agentproto.ImageStore}),
		request(f, 5, service, "Prepare", int64(time.Millisecond), &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: marker}),
		request(f, 7, service, "Prepare", 0, &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: string(agentproto.NewMarker())}),
		request(f, 9, service, "Release", 0, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: marker}),
	)
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add(append(request(f, 2, service, "Version", -1, &agentv1.VersionRequest{}), request(f, 1, "other", "Method", 0, &agentv1.VersionRequest{})...))
	f.Add(request(f, 1, service, "Prepare", 0, &agentv1.PrepareRequest{Store: "\x1b[2J", Marker: "tes-\x00../../../../../.."}))
	f.Add(frame(1<<32-1, 1, frameRequest, nil))
	f.Add(frame(0, 1, 3, nil))
	listener, target := servePipes(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		conn := listener.dial()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		answered := make(chan error, 1)
		go func() { answered <- checkAnswers(t, conn) }()
		_, _ = conn.Write(stream) // the server may hang up in between
		// Places of callers that have gone become free a moment later.
		require.Eventually(t, func() bool {
			c := ttrpc.NewClient(listener.dial())
			_, err := agentv1.NewTrustedStoreClient(c).Version(within(t, patience), &agentv1.VersionRequest{})
			return errors.Join(err, c.Close()) == nil
		}, patience, time.Millisecond, "the server goes on")
		require.NoError(t, conn.Close())
		require.NoError(t, <-answered)
		require.Eventually(t, func() bool {
			state, _, _, _ := target.Status()
			return state == store.Absent
		}, patience, 100*time.Microsecond, "a preparation outlives its caller")
	})
}

// checkAnswers reads until the connection's end.
func checkAnswers(t *testing.T, conn net.Conn) error {
	for {
		header := make([]byte, frameHeader)
		if _, err := io.ReadFull(conn, header); err != nil {
			return nil //nolint:nilerr // the end
		}
		body := make([]byte, binary.BigEndian.Uint32(header))
		if _, err := io.ReadFull(conn, body); err != nil {
			return nil //nolint:nilerr // the end
		}
		var answer ttrpc.Response
		if err := proto.Unmarshal(body, &answer); err != nil {
			return err
		}
		message := answer.GetStatus().GetMessage()
		if !slices.Contains(known, codes.Code(answer.GetStatus().GetCode())) || !utf8.ValidString(message) || len(message) > maxFrame+1024 {
			t.Errorf("answered %v", answer.GetStatus())
		}
	}
}
