// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp/qmptest"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// size of a volume: its contents don't matter here.
	size = 256 << 20
	// patience bounds what has to happen soon, on an emulated cpu.
	patience = 3 * time.Minute
)

// all says whether all cells are to run, and not this commit's share.
func all() bool { return os.Getenv("TES_ALL") == "1" }

// rotation is the commit's turn (Makefile).
func rotation(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TES_ROTATION")
	if text == "" {
		return 0
	}
	turn, err := strconv.Atoi(text)
	require.NoError(t, err, "TES_ROTATION")
	return turn
}

// rig is what all cells share.
type rig struct {
	containerd *lab.Containerd
	group      *lab.VolumeGroup
	// leaks is what our part left behind; others what Kata or containerd did.
	leaks, others []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	return &rig{
		containerd: lab.StartContainerd(t, lab.Containerd2),
		group:      lab.NewVolumeGroup(t, lab.OpenLocalGroup, 2*size),
	}
}

// limits are our shim's time limits.
type limits map[string]time.Duration

// short are those of a cell in which one of them has to pass. The guest needs
// three to six seconds for a store.
var short = limits{"find": 6 * time.Second, "attach": 5 * time.Second, "prepare": 15 * time.Second, "undo": 10 * time.Second}

const shimConfig = "/etc/kata-tes/config.toml"

// limit puts time limits into our shim's configuration until the test ends. They
// count for pods that start from then on.
func limit(t *testing.T, l limits) {
	t.Helper()
	if l == nil {
		return
	}
	before, err := os.ReadFile(shimConfig)
	require.NoError(t, err)
	var table strings.Builder
	for key, value := range l {
		fmt.Fprintf(&table, "timeouts.%s = %q\n", key, value)
	}
	defaults, runtimes, found := strings.Cut(string(before), "[[runtime]]")
	require.True(t, found)
	require.NoError(t, os.WriteFile(shimConfig, []byte(defaults+table.String()+"\n[[runtime]]"+runtimes), 0o644))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(shimConfig, before, 0o644)) })
}

// trial is one pod with one volume and what is done to it.
type trial struct {
	*rig
	t      *testing.T
	volume lab.Volume
	pod    *lab.Pod
	guest  lab.Guest
	proxy  *qmptest.Proxy
	// attempt counts the store's containers.
	attempt uint32
	// unknown are containers whose start containerd did not live to see end.
	unknown []*lab.Container
}

// begin starts a pod with a proxy before its monitor.
func (r *rig) begin(t *testing.T, l limits) *trial {
	t.Helper()
	limit(t, l)
	tr := &trial{rig: r, t: t, volume: r.group.Create(t, "store", size)}
	tr.startPod()
	return tr
}

func (tr *trial) startPod() {
	tr.t.Helper()
	tr.pod = tr.containerd.StartPod(tr.t, lab.PodSpec{Name: "faults", Handler: lab.Tes})
	tr.guest = tr.pod.MustGuest(tr.t)
	proxy, err := qmptest.TakePlace(rundir.MonitorPath(rundir.Root, tr.pod.ID))
	require.NoError(tr.t, err)
	tr.proxy = proxy
	tr.t.Cleanup(func() {
		// Before the pod is removed: cleanups run the last one first.
		if err := proxy.Close(); err != nil {
			tr.t.Errorf("the proxy before the monitor: %v", err)
		}
	})
}

// start starts the next container with the store. Its end comes by the channel.
func (tr *trial) start(ctx context.Context) (*lab.Container, <-chan error) {
	tr.t.Helper()
	tr.attempt++
	c, err := tr.pod.Create(tr.t.Context(), lab.ContainerSpec{
		Name: "sidecar-trusted-store", Attempt: tr.attempt,
		Devices: []lab.Device{{Host: tr.volume.Path, Container: lab.TrustedStore}},
	})
	require.NoError(tr.t, err)
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	return c, ended
}

// eventually waits for what has no event of its own.
func (tr *trial) eventually(what string, holds func() (bool, error)) {
	tr.t.Helper()
	var last error
	require.Eventually(tr.t, func() bool {
		var ok bool
		ok, last = holds()
		return ok
	}, patience, 100*time.Millisecond, "%s (%v)", what, last)
}
