// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
)

// answerThief stands between our shim and the guest: Kata's management socket,
// which our shim asks for the guest's address, names a socket of the test's.
// The first answer to a Prepare does not arrive.
type answerThief struct {
	tr      *trial
	guest   net.Listener
	serving sync.WaitGroup
	first   sync.Once
	// stolen is closed when the guest has answered; then the connection ends when
	// goOn is closed.
	stolen chan error
	goOn   chan struct{}
}

// stealAnswer has the guest's next answer to Prepare lost. The step is that the
// guest has answered.
func (tr *trial) stealAnswer() hold {
	tr.t.Helper()
	s := &answerThief{tr: tr, stolen: make(chan error), goOn: make(chan struct{})}
	folder := tr.t.TempDir()
	guest := filepath.Join(folder, "guest")
	var err error
	s.guest, err = net.Listen("unix", guest)
	require.NoError(tr.t, err)
	s.serving.Go(func() { s.accept() })

	kata := filepath.Join("/run/vc/sbs", tr.pod.ID, "shim-monitor.sock")
	aside := kata + ".kata"
	require.NoError(tr.t, os.Rename(kata, aside))
	management, err := net.Listen("unix", kata)
	require.NoError(tr.t, err)
	pages := http.NewServeMux()
	pages.HandleFunc("GET /agent-url", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "unix://"+guest) })
	server := &http.Server{Handler: pages}
	s.serving.Go(func() { _ = server.Serve(management) }) // ends with Close
	release := sync.OnceFunc(func() { close(s.goOn) })
	tr.t.Cleanup(func() {
		release()
		require.NoError(tr.t, errors.Join(server.Close(), s.guest.Close()))
		s.serving.Wait()
		// Kata removes the folder with the sandbox.
		if err := os.Rename(aside, kata); !errors.Is(err, os.ErrNotExist) {
			require.NoError(tr.t, err)
		}
	})
	return hold{reached: s.stolen, release: release}
}

func (s *answerThief) accept() {
	for {
		shim, err := s.guest.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() {
			if err := s.serve(shim); err != nil {
				s.tr.t.Errorf("between shim and guest: %v", err)
			}
		})
	}
}

// serve passes on one connection, on which our shim makes one call.
func (s *answerThief) serve(shim net.Conn) error {
	defer func() { _ = shim.Close() }()
	guest, err := dial.Dial(context.Background(), fmt.Sprintf("vsock://%d:1024", s.tr.guest.CID), agentproto.Port, dial.WithRefusedWindow(0))
	if err != nil {
		return nil //nolint:nilerr // an agent that was killed: our shim sees the connection end
	}
	defer func() { _ = guest.Close() }()
	request, err := readFrame(shim)
	if err != nil {
		return err
	}
	if _, err := guest.Write(request); err != nil {
		return err
	}
	answer, err := readFrame(guest)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	if bytes.Contains(request, []byte("Prepare")) {
		lost := false
		s.first.Do(func() { lost = true })
		if lost {
			close(s.stolen)
			<-s.goOn
			return nil
		}
	}
	_, err = shim.Write(answer)
	return err
}

// readFrame reads one frame of ttrpc (github.com/containerd/ttrpc, PROTOCOL.md).
func readFrame(r io.Reader) ([]byte, error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("reading a frame's header: %w", err)
	}
	frame := append(head, make([]byte, binary.BigEndian.Uint32(head))...)
	_, err := io.ReadFull(r, frame[len(head):])
	return frame, err
}
