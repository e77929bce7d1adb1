// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/kata-tes/kata-tes/functional-tests/node"
)

const egressSocket = "egress.sock"

// egress is the proxy through which the API server reaches the kubelet: HTTP's
// CONNECT on a Unix socket.
type egress struct {
	server   *http.Server
	finished chan error

	mu   sync.Mutex
	dial Dialer
	// open are the connections that are handed on; Close ends them.
	open map[net.Conn]bool
}

func newEgress(folder string) (*egress, error) {
	// By the folder's descriptor: a socket's path has 107 characters at most,
	// and nobody knows how deep the build folder is.
	dir, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("listening for the API server: %w", err)
	}
	defer func() { _ = dir.Close() }()
	listener, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), egressSocket))
	if err != nil {
		return nil, fmt.Errorf("listening for the API server: %w", err)
	}
	// Its file goes with the folder.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	e := &egress{finished: make(chan error, 1), open: map[net.Conn]bool{}}
	e.server = &http.Server{Handler: http.HandlerFunc(e.connect)}
	go func() { e.finished <- e.server.Serve(listener) }()
	return e, nil
}

func (e *egress) use(dial Dialer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dial = dial
}

// connect answers one CONNECT and copies until one side ends.
func (e *egress) connect(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	dial := e.dial
	e.mu.Unlock()
	switch {
	case r.Method != http.MethodConnect:
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	case dial == nil:
		http.Error(w, "there is no node yet", http.StatusServiceUnavailable)
		return
	}
	there, err := dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = there.Close()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		_ = there.Close()
		_ = here.Close()
		return
	}
	e.hold(here, there)
	defer e.release(here, there)
	node.Join(here, there)
}

func (e *egress) hold(conns ...net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range conns {
		e.open[conn] = true
	}
}

func (e *egress) release(conns ...net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range conns {
		delete(e.open, conn)
	}
}

// Close ends the proxy and its connections.
func (e *egress) Close() error {
	err := e.server.Close()
	e.mu.Lock()
	for conn := range e.open {
		// The API server has ended already.
		_ = conn.Close()
	}
	e.mu.Unlock()
	if served := <-e.finished; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
