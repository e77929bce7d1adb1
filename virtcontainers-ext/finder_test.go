// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// kataTree is what Kata's Go runtime keeps of one sandbox, in a short folder.
type kataTree struct {
	finder Finder
	dir    string
}

func newKataTree(t *testing.T, v *vm) kataTree {
	t.Helper()
	root := shortDir(t)
	k := kataTree{
		finder: Finder{RunRoot: v.root, VCDir: root, KataDir: filepath.Join(root, "none")},
		dir:    filepath.Join(root, "sbs", v.id),
	}
	require.NoError(t, os.MkdirAll(k.dir, 0o750))
	return k
}

// serve is the shim's management server; answer is nil for one that hangs.
func (k kataTree) serve(t *testing.T, answer http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(k.dir, "shim-monitor.sock"))
	require.NoError(t, err)
	mux := http.NewServeMux()
	if answer == nil {
		answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	}
	mux.Handle("/agent-url", answer)
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-done
	})
}

func (k kataTree) persist(t *testing.T, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(k.dir, "persist.json"), []byte(content), 0o600))
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

const state = `{"State":"running","HypervisorState":{"Pid":7},"AgentState":{"URL":"vsock://42:1024"},"Config":{}}`

func TestFind(t *testing.T) {
	v := startVM(t, scsi...)
	for name, prepare := range map[string]func(*testing.T, kataTree){
		"served":            func(t *testing.T, k kataTree) { k.serve(t, says("vsock://42:1024")) },
		"served, line end":  func(t *testing.T, k kataTree) { k.serve(t, says("vsock://42:1024\n")) },
		"persisted":         func(t *testing.T, k kataTree) { k.persist(t, state) },
		"served before":     func(t *testing.T, k kataTree) { k.serve(t, says("vsock://42:1024")); k.persist(t, "{") },
		"server hangs":      func(t *testing.T, k kataTree) { k.serve(t, nil); k.persist(t, state) },
		"server fails":      func(t *testing.T, k kataTree) { k.serve(t, http.NotFound); k.persist(t, state) },
		"server says rot":   func(t *testing.T, k kataTree) { k.serve(t, says("tcp://1.2.3.4")); k.persist(t, state) },
		"appears meanwhile": func(t *testing.T, k kataTree) { time.AfterFunc(150*time.Millisecond, func() { k.persist(t, state) }) },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKataTree(t, v)
			prepare(t, k)
			s, err := k.finder.Find(t.Context(), v.id)
			require.NoError(t, err)
			require.Equal(t, "vsock://42:1024", s.AgentURL())
			list, err := s.List(t.Context())
			require.NoError(t, err)
			require.Empty(t, list)
		})
	}
}

func TestFindWithoutAnAddress(t *testing.T) {
	v := startVM(t, scsi...)
	find := func(k kataTree) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := k.finder.Find(ctx, v.id)
		return err
	}
	for name, content := range map[string]string{
		"no such file":  "",
		"unexpected":    `{"AgentState":{"URL":`,
		"no address":    `{}`,
		`address of an`: `{"AgentState":{"URL":"vsock://"}}`,
		`is no address`: `{"AgentState":{"URL":"vsock://42:1024\n"}}`,
	} {
		k := newKataTree(t, v)
		if content != "" {
			k.persist(t, content)
		}
		err := find(k)
		require.ErrorIs(t, err, ErrNoGuestAddress)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, name)
	}

	k := newKataTree(t, v)
	k.finder.KataDir = shortDir(t)
	require.NotContains(t, find(k).Error(), "Rust")
	require.NoError(t, os.Mkdir(filepath.Join(k.finder.KataDir, v.id), 0o750))
	require.ErrorContains(t, find(k), "Rust")
}

func TestFindWithoutAMonitor(t *testing.T) {
	v := startVM(t, scsi...)
	k := newKataTree(t, v)
	k.persist(t, state)
	_, err := k.finder.Find(t.Context(), "../"+v.id)
	require.ErrorIs(t, err, rundir.ErrBadID)

	_, err = k.finder.Find(t.Context(), strings.Repeat("f", 64))
	require.ErrorIs(t, err, ErrNoMonitor)
	require.ErrorContains(t, err, "kata-tes install", "what to do")

	v.signal(t, syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = k.finder.Find(ctx, v.id)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	v.signal(t, syscall.SIGCONT)
	_, err = k.finder.Find(t.Context(), v.id)
	require.NoError(t, err)

	v.kill()
	_, err = k.finder.Find(t.Context(), v.id)
	require.ErrorIs(t, err, ErrNoMonitor)
	require.ErrorContains(t, err, "has ended")
}

// The management socket is the host's own, but a client must survive anything.
func TestManagementAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"empty":          "",
		"another server": "SSH-2.0-x\r\n\r\n",
		"cut short":      "HTTP/1.0 200 OK\r\nContent-",
		"no status":      "HTTP/1.0\r\n\r\nvsock://1:1",
		"an error":       "HTTP/1.0 500 Internal Server Error\r\n\r\nvsock://1:1",
		"endless":        "HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("a", 2*maxAnswer),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "s")
			l, err := net.Listen("unix", path)
			require.NoError(t, err)
			defer func() { require.NoError(t, l.Close()) }()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, answer)
				_ = c.Close()
			}()
			_, err = getManagement(t.Context(), path, "/agent-url")
			require.ErrorContains(t, err, "asking Kata's shim")
		})
	}
}
