// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/server"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience is more than anything takes on an emulated machine.
const patience = 2 * time.Minute

// guest is an agent extension that runs in this process, and its client.
type guest struct {
	t *testing.T
	c config.Config
	agentv1.TrustedStoreService
	stop func()
}

// newGuest starts the agent extension with the configuration, which changes may
// alter.
func newGuest(t *testing.T, changes ...func(*config.Config)) *guest {
	t.Helper()
	c := config.Default()
	for _, change := range changes {
		change(&c)
	}
	g := &guest{t: t, c: c}
	g.start()
	t.Cleanup(func() {
		g.releaseAll()
		g.stop()
	})
	return g
}

// start serves in a way of its own each time, like a new process.
func (g *guest) start() {
	t := g.t
	path := filepath.Join(t.TempDir(), "agent.sock")
	log := logrus.New()
	log.SetOutput(testLog{t})
	stores := map[string]*store.Store{}
	for name := range g.c.Stores {
		s, err := store.New(name, g.c, command.Real{}, logrus.NewEntry(log))
		require.NoError(t, err)
		stores[name] = s
	}
	listener, err := server.Listen("unix://" + path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := &server.Server{Stores: stores, Agent: "test", Idle: time.Hour, Log: logrus.NewEntry(log)}
	go func() { ended <- s.Serve(ctx, listener) }()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	client := ttrpc.NewClient(conn)
	g.TrustedStoreService = agentv1.NewTrustedStoreClient(client)
	g.stop = func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, client.Close())
	}
}

func (g *guest) releaseAll() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := g.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
	require.NoError(g.t, err)
	if answer.GetState() == agentv1.State_STATE_ABSENT {
		return
	}
	require.NoError(g.t, g.release(agentproto.Marker(answer.GetMarker())))
}

func (g *guest) prepare(marker agentproto.Marker) (*agentv1.PrepareResponse, error) {
	return g.prepareWithin(patience, marker)
}

func (g *guest) prepareWithin(limit time.Duration, marker agentproto.Marker) (*agentv1.PrepareResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return g.Prepare(ctx, &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: string(marker)})
}

func (g *guest) release(marker agentproto.Marker) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := g.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: string(marker)})
	return err
}

func (g *guest) state() agentv1.State {
	answer, err := g.Status(context.Background(), &agentv1.StatusRequest{Store: agentproto.ImageStore})
	require.NoError(g.t, err)
	return answer.GetState()
}

// requireState waits: a preparation whose caller went away is being undone.
func (g *guest) requireState(want agentv1.State) {
	g.t.Helper()
	require.Eventually(g.t, func() bool { return g.state() == want }, patience, 20*time.Millisecond, "state is %s", g.state())
}

func (g *guest) requireCode(want codes.Code, err error, words ...string) {
	g.t.Helper()
	got := status.Code(err)
	if errors.Is(err, context.DeadlineExceeded) { // the client's own clock was first
		got = codes.DeadlineExceeded
	}
	require.Equal(g.t, want, got, "%v", err)
	for _, w := range words {
		require.ErrorContains(g.t, err, w)
	}
	g.t.Log("the guest says:", err)
}

// requireNothingLeft: no mapping, mount, header, record or open disk.
func (g *guest) requireNothingLeft() {
	g.t.Helper()
	s := g.c.Stores[agentproto.ImageStore]
	require.NoFileExists(g.t, "/dev/mapper/"+s.Mapping)
	require.NotContains(g.t, run(g.t, "dmsetup", "ls"), s.Mapping)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(g.t, err)
	for _, at := range s.MountPoints {
		require.NotContains(g.t, string(mounts), " "+at+" ")
	}
	left, err := filepath.Glob(g.c.HeaderDirectory + "/*.*")
	require.NoError(g.t, err)
	require.Empty(g.t, left)
	require.Empty(g.t, run(g.t, "sh", "-c", "ps -A -o comm= | grep -e cryptsetup -e mkfs || true"))
}

// requireWorks: after a failure a correct attempt is like a first one.
func (g *guest) requireWorks(marker agentproto.Marker) {
	g.t.Helper()
	_, err := g.prepare(marker)
	require.NoError(g.t, err)
	require.Equal(g.t, agentv1.State_STATE_READY, g.state())
	require.NoError(g.t, g.release(marker))
	g.requireNothingLeft()
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(string(p))
	return len(p), nil
}

// tool is a stand-in for one of the guest image's programs: a shell script in
// which "$REAL" is the real one.
func tool(t *testing.T, real, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(real))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nREAL="+real+"\n"+script+"\n"), 0o755))
	return path
}
