// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzPersisted reads Kata's state from its file: an address that a dialer can
// be given, or an error.
func FuzzPersisted(f *testing.F) {
	f.Add([]byte(`{"PersistVersion":2,"State":"running","SandboxContainer":"0123","HypervisorState":{"Pid":42},"AgentState":{"URL":"vsock://3437:1024"},"Network":{}}`))
	f.Add([]byte(`{"AgentState":{"URL":"unix:///run/vc/vm/x/kata.hvsock"}}`))
	f.Add([]byte(`{"agentstate":{"url":"hvsock://a:1"},"AgentState":null}`))
	f.Add([]byte(`{"AgentState":{"URL":5}}`))
	f.Add([]byte(`{"AgentState":`))
	f.Fuzz(func(t *testing.T, state []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "persist.json"), state, 0o600))
		url, err := askAddress(t.Context(), goRuntime{dir: dir})
		requireAddress(t, url, err)
	})
}

// FuzzManagement answers the one question to Kata's management socket.
func FuzzManagement(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.0 200 OK\r\nDate: Tue, 24 Nov 2026 19:43:00 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nvsock://3437:1024\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404 Not Found\r\n\r\n404 page not found\n", "HTTP/1.0 200\r\n\r\nunix://\x1b[2J",
		"SSH-2.0-OpenSSH\r\n", "", "HTTP/1.0 200 OK\r\n", "HTTP/1. 200 OK\r\n\r\nvsock://1:1\r\n\r\nvsock://2:2",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		dir, err := os.MkdirTemp("", "mg")
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()
		l, err := net.Listen("unix", filepath.Join(dir, "shim-monitor.sock"))
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // the question
			_, _ = conn.Write(answer)            // it may have gone
			_ = conn.Close()
		}()
		url, err := askAddress(t.Context(), goRuntime{dir: dir})
		requireAddress(t, url, err)
		require.NoError(t, l.Close())
		<-ended
	})
}

func requireAddress(t *testing.T, url string, err error) {
	t.Helper()
	if err != nil {
		require.Empty(t, url)
		return
	}
	require.NotContains(t, url, "\x00")
	require.NotContains(t, url, "\n")
	require.LessOrEqual(t, len(url), maxURL)
	require.Contains(t, url, "://")
}

// FuzzAttachments is a QEMU that answers our three questions about what it
// holds with whatever it likes: nothing but ours is ever listed, and so nothing
// but ours is ever taken out.
func FuzzAttachments(f *testing.F) {
	// As QEMU 7.2 answers, shortened; the corpus has a whole one.
	const (
		devices = `[{"name": "scsi0", "type": "child<virtio-scsi-pci>"}, {"name": "tes-0123456789abcdef", "type": "child<scsi-hd>"}, {"name": "type", "type": "string"}]`
		nodes   = `[{"iops_rd": 0, "image": {"virtual-size": 33554432, "filename": "/dev/fdset/0"}, "node-name": "tes-0123456789abcdef", "drv": "host_device"}, {"node-name": "#block042"}]`
		sets    = `[{"fds": [{"fd": 12, "opaque": "tes-0123456789abcdef"}], "fdset-id": 0}]`
	)
	f.Add(devices, nodes, sets)
	f.Add(`[]`, `[]`, `[]`)
	f.Add(`[{"name":"tes-","type":"child<"}]`, `[{"node-name":"TES-0"},{}]`, `[{"fdset-id":-1,"fds":[{"opaque":"tes-\u0030"}]}]`)
	f.Add(`{}`, `null`, `[{"fdset-id":1e30}]`)
	f.Fuzz(func(t *testing.T, devices, nodes, sets string) {
		monitor := filepath.Join(shortDir(t), "m")
		l, err := net.Listen("unix", monitor)
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			speakQMP(l, devices, nodes, sets)
		}()
		s := &Sandbox{id: "sandbox", monitor: monitor}
		list, err := s.List(t.Context())
		require.NoError(t, l.Close())
		<-ended
		if err != nil {
			require.False(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
			return
		}
		for _, a := range list {
			require.NoError(t, checkMarker(a.Marker))
			require.True(t, a.Device || a.Node || len(a.FDSets) > 0)
		}
	})
}

// speakQMP greets, agrees to the capabilities and answers one command after the
// other.
func speakQMP(l net.Listener, answers ...string) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`+"\r\n")
	commands := json.NewDecoder(conn)
	for _, answer := range append([]string{`{}`}, answers...) {
		var command struct{ ID uint64 }
		if commands.Decode(&command) != nil {
			return
		}
		line, err := json.Marshal(map[string]any{"id": command.ID, "return": json.RawMessage(answer)})
		if err != nil {
			return // it hangs up
		}
		_, _ = conn.Write(append(line, '\n'))
	}
}
