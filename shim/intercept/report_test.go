// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/report"
)

// What an operator reads of the proposal's pod: nothing yet, its name, a
// refusal, and a store with what the guest says of it.
func TestReport(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	told := p.interceptor.Report(t.Context())
	require.Equal(t, "none", told.Store.State)
	require.Empty(t, told.Pod)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
		"io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-name":"web"}}`), 0o600))
	require.NoError(t, p.interceptor.Create(t.Context(), sandboxID, dir))
	told = p.interceptor.Report(t.Context())
	require.Equal(t, report.Sandbox{Namespace: "shop", Pod: "web", Store: report.Store{State: "none", Since: told.Store.Since}}, told)

	p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(status.Error(codes.Internal, "mkfs\nfailed")) })
	require.Error(t, p.create(entry(disk.n)))
	told = p.interceptor.Report(t.Context())
	require.Equal(t, "failed", told.Store.State)
	require.Contains(t, told.Store.Reason, "mkfs; failed")
	require.Equal(t, disk.n.String(), told.Store.Device)

	p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
	require.NoError(t, p.create(entry(disk.n)))
	p.guest.set(func(g *fakeGuest) {
		g.status = &agentv1.StatusResponse{
			State: agentv1.State_STATE_READY, Marker: g.prepared, SizeBytes: 1000, UsedBytes: 10, Profile: "integrity",
		}
	})
	told = p.interceptor.Report(t.Context())
	require.Equal(t, "ready", told.Store.State)
	require.Regexp(t, `^tes-[0-9a-f]{16}$`, told.Store.Marker)
	require.Equal(t, &report.Guest{Profile: "integrity", SizeBytes: 1000, UsedBytes: 10}, told.Store.Guest)
}

// A guest that says nothing, isn't there or speaks of something else costs the
// guest's part of the report and nothing more.
func TestReportOfAGuestThatDoesNotTell(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	for name, test := range map[string]struct {
		make func(t *testing.T, p *pod)
		want string
	}{
		"silent":  {func(t *testing.T, p *pod) { p.port.beSilent(t) }, "does not answer"},
		"absent":  {func(t *testing.T, p *pod) { p.port.beAbsent(t) }, "no kata-tes-agent"},
		"another": {func(_ *testing.T, _ *pod) {}, "does not have this store"},
		"an error": {func(_ *testing.T, p *pod) {
			p.guest.set(func(g *fakeGuest) { g.onStatus = failing(status.Error(codes.Internal, "no")) })
		}, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, unhurried)
			require.NoError(t, p.create(entry(disk.n)))
			test.make(t, p)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			told := p.interceptor.Report(ctx)
			require.Equal(t, "ready", told.Store.State)
			require.Contains(t, told.Store.Guest.Problem, test.want)
		})
	}
}

// While somebody waits for a guest that says nothing, Creates go on; and while
// a preparation hangs, the report comes at once, without the guest.
func TestNeitherWaitsForTheOther(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	wait, entered, open := gate()
	p.guest.set(func(g *fakeGuest) { g.onPrepare = wait })
	created := make(chan error)
	go func() { created <- p.create(entry(disk.n)) }()
	<-entered
	told := p.interceptor.Report(t.Context())
	require.Equal(t, "preparing", told.Store.State)
	require.Equal(t, "prepare", told.Store.Step)
	require.Nil(t, told.Store.Guest)
	open()
	require.NoError(t, <-created)

	wait, entered, open = gate()
	p.guest.set(func(g *fakeGuest) { g.onStatus = wait })
	reported := make(chan report.Sandbox)
	go func() { reported <- p.interceptor.Report(context.WithoutCancel(t.Context())) }()
	<-entered
	require.NoError(t, p.create(entry(disk.n)))
	require.NoError(t, p.create())
	open()
	<-reported
}
