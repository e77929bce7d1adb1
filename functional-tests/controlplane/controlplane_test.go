// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithoutKubernetesItSaysWhatToDo(t *testing.T) {
	_, err := New(t.TempDir(), io.Discard)
	require.ErrorContains(t, err, "functional-tests/build.sh all")
}

// connect asks the proxy for a connection to an address.
func connect(t *testing.T, folder, method, address string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(folder, egressSocket))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, method+" "+address+" HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, 1000)), &http.Request{Method: method})
	require.NoError(t, err)
	return conn, answer
}

func TestEgress(t *testing.T) {
	folder := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	require.NoError(t, os.MkdirAll(folder, 0o700))
	// Connecting has the same limit as listening.
	t.Chdir(folder)
	e, err := newEgress(folder)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()

	_, answer := connect(t, ".", http.MethodConnect, "node:10250")
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode, "before there is a node")

	kubelet, ours := net.Pipe()
	var asked string
	e.use(func(_ context.Context, _, address string) (net.Conn, error) {
		asked = address
		if address == "nobody:1" {
			return nil, errors.New("nobody listens")
		}
		return ours, nil
	})
	_, answer = connect(t, ".", http.MethodGet, "node:10250")
	require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
	_, answer = connect(t, ".", http.MethodConnect, "nobody:1")
	require.Equal(t, http.StatusBadGateway, answer.StatusCode)

	conn, answer := connect(t, ".", http.MethodConnect, "10.0.2.15:10250")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "10.0.2.15:10250", asked)
	_, err = io.WriteString(conn, "hello")
	require.NoError(t, err)
	said := make([]byte, 5)
	_, err = io.ReadFull(kubelet, said)
	require.NoError(t, err)
	require.Equal(t, "hello", string(said))
	require.NoError(t, kubelet.Close())
	_, err = conn.Read(said)
	require.ErrorIs(t, err, io.EOF, "the end of one is the end of both")
}
