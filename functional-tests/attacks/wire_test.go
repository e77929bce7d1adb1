// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
)

const service = "katates.agent.v1.TrustedStore"

// Types of a frame (ttrpc, PROTOCOL.md).
const (
	frameRequest  = 1
	frameResponse = 2
	frameData     = 3
)

// wire is a connection on which the host sends bytes of its own.
type wire struct {
	net.Conn
	a *attempt
}

func (a *attempt) wire() *wire {
	a.Helper()
	conn, err := dial.Dial(a.Context(), a.sandbox.AgentURL(), agentproto.Port)
	require.NoError(a, err)
	w := &wire{conn, a}
	a.Cleanup(func() { _ = w.Close() })
	require.NoError(a, w.SetDeadline(time.Now().Add(patience)))
	return w
}

// header is a frame's, whatever follows it.
func header10(length, stream uint32, kind byte) []byte {
	h := binary.BigEndian.AppendUint32(nil, length)
	h = binary.BigEndian.AppendUint32(h, stream)
	return append(h, kind, 0)
}

// send sends bytes. That the guest has hung up meanwhile is seen when its answer
// is read.
func (w *wire) send(bytes []byte) {
	w.a.Helper()
	if _, err := w.Write(bytes); err != nil && !isHungUp(err) {
		require.NoError(w.a, err)
	}
}

func (w *wire) frame(stream uint32, kind byte, payload []byte) {
	w.a.Helper()
	w.send(append(header10(uint32(len(payload)), stream, kind), payload...))
}

func (w *wire) request(stream uint32, r *ttrpc.Request) {
	w.a.Helper()
	payload, err := proto.Marshal(r)
	require.NoError(w.a, err)
	w.frame(stream, frameRequest, payload)
}

// answer is the error in the next answer.
func (w *wire) answer() error {
	w.a.Helper()
	head := make([]byte, 10)
	_, err := io.ReadFull(w, head)
	require.NoError(w.a, err, "no answer")
	require.Equal(w.a, byte(frameResponse), head[8])
	payload := make([]byte, binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(w, payload)
	require.NoError(w.a, err)
	var response ttrpc.Response
	require.NoError(w.a, proto.Unmarshal(payload, &response))
	return status.ErrorProto(response.Status)
}

func isHungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// requireHungUp: the guest ends the connection without a word.
func (w *wire) requireHungUp() {
	w.a.Helper()
	n, err := w.Read(make([]byte, 1))
	require.Zero(w.a, n, "the guest answers")
	require.True(w.a, isHungUp(err), "%v", err)
	w.a.state(w.a.T)
}
