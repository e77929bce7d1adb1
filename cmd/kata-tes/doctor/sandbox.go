// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/status"
	"github.com/kata-tes/kata-tes/shim/report"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// askLimit bounds the questions to a virtual machine and to its guest. Much less
// than what a Create gives the monitor, which serves one client at a time.
const askLimit = 5 * time.Second

// sandbox is a running one, looked at by the checks below.
type sandbox struct {
	*doctor
	status.Row
}

func (d *doctor) sandboxChecks(row status.Row) []check {
	s := sandbox{d, row}
	subject := fmt.Sprintf("sandbox %.13s", row.Sandbox)
	if name := row.Name(); name != "" {
		subject += " (" + name + ")"
	}
	on := about(subject)
	again := "delete the pod and create it again"
	return []check{
		on("process", s.checkProcess, again+"; where there is no such pod any more (crictl pods), remove "+rundir.Root+"/"+row.Sandbox),
		on("monitor", s.checkMonitor, again),
		on("guest", s.checkGuest, "use a guest image with the kata-tes-agent of this release (kata-tes guest-image), then "+again),
		on("store", s.checkStore, again),
	}
}

func (s sandbox) checkProcess(context.Context) (string, error) {
	if s.older() {
		return "", warnf("", "%v", s.Err)
	}
	if s.Err != nil {
		return "", s.Err
	}
	if s.Shim != s.Version {
		return "", warnf("to have it run on this release, delete the pod and create it again", "it runs kata-tes %s, and this is %s", s.Shim, s.Version)
	}
	return "kata-tes " + s.Shim, nil
}

// older says that the process may be of a release without a status socket, whose
// pods work as well.
func (s sandbox) older() bool { return errors.Is(s.Err, report.ErrNoSocket) }

// busy keeps us from the monitor and from the guest while a store is made.
func (s sandbox) busy() bool { return s.State == "preparing" }

func (s sandbox) checkMonitor(ctx context.Context) (string, error) {
	if s.busy() {
		return "in use: a store is being prepared", nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err := s.live.machine(ctx, s.Sandbox)
	switch {
	case errors.Is(err, vcext.ErrNoGuestAddress):
		return "QEMU answers", nil // the guest's check says so
	case err != nil:
		return "", err
	}
	return "QEMU answers", nil
}

func (s sandbox) checkGuest(ctx context.Context) (string, error) {
	if s.busy() {
		return "in use: a store is being prepared", nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	url, err := s.live.machine(ctx, s.Sandbox)
	switch {
	case errors.Is(err, vcext.ErrNoMonitor):
		return "", unknownf("see the check of the monitor", "no monitor leads to it")
	case err != nil:
		return "", unknownf("see the check of the monitor", "the guest's address is not known: %v", err)
	}
	version, err := guestVersion(ctx, url)
	switch {
	case errors.Is(err, dial.ErrRefused):
		return "", fmt.Errorf("no kata-tes-agent runs in it, so that the pod can have no store: %w", err)
	case err != nil:
		return "", wrongf("see the guest's console or journal for kata-tes-agent", "kata-tes-agent does not answer: %v", err)
	case version.GetProtocol() != agentproto.ProtocolVersion:
		return "", fmt.Errorf("kata-tes-agent %.40q speaks protocol %d, and this node %d", version.GetAgent(), version.GetProtocol(), agentproto.ProtocolVersion)
	}
	return fmt.Sprintf("kata-tes-agent %.40q, protocol %d", version.GetAgent(), version.GetProtocol()), nil
}

// guestVersion asks the agent extension of the guest whose Kata agent has that
// address, once.
func guestVersion(ctx context.Context, agentURL string) (*agentv1.VersionResponse, error) {
	conn, err := dial.Dial(ctx, agentURL, agentproto.Port, dial.WithRefusedWindow(0))
	if err != nil {
		return nil, err
	}
	client := ttrpc.NewClient(conn)
	defer func() { _ = client.Close() }() // the answer is there
	return agentv1.NewTrustedStoreClient(client).Version(ctx, &agentv1.VersionRequest{})
}

// checkStore says what 'kata-tes status' shows, where it needs mending.
func (s sandbox) checkStore(context.Context) (string, error) {
	switch {
	case s.older():
		return "", warnf("", "not known: the process has no status socket")
	case s.Err != nil:
		return "", unknownf("see the check of the process", "the sandbox's process does not tell")
	case s.Reason != "":
		// A retry of the kubelet's may do, and the reason has its own remedy.
		return "", warnf("see 'kubectl describe pod'", "%s: %s", s.State, s.Reason)
	case s.GuestProblem != "":
		return "", errors.New(s.GuestProblem)
	}
	return s.State, nil
}
