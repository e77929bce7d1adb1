// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// qemu is a real QEMU that runs no guest, with our monitor, where the real
// finder finds it.
type qemu struct {
	cmd    *exec.Cmd
	finder vcext.Finder
}

// startQEMU starts it for the pod's sandbox. Its guest is the pod's fake one.
func startQEMU(t *testing.T, p *pod) *qemu {
	t.Helper()
	binary, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("needs qemu-system-x86_64 (Debian package qemu-system-x86)")
	}
	root, err := os.MkdirTemp("", "tes")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	q := &qemu{finder: vcext.Finder{RunRoot: filepath.Join(root, "run"), VCDir: filepath.Join(root, "vc")}}
	monitor := rundir.MonitorPath(q.finder.RunRoot, sandboxID)
	require.NoError(t, os.MkdirAll(filepath.Dir(monitor), 0o700))
	serveAgentURL(t, filepath.Join(q.finder.VCDir, "sbs", sandboxID), "unix://"+p.port.path)

	q.cmd = exec.Command(binary, "-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none",
		"-device", "virtio-scsi-pci,id=scsi0", "-qmp", "unix:"+monitor+",server=on,wait=off")
	var messages strings.Builder
	q.cmd.Stderr = &messages
	require.NoError(t, q.cmd.Start())
	t.Cleanup(func() {
		q.kill()
		if t.Failed() {
			t.Logf("QEMU's messages: %s", messages.String())
		}
	})
	// Its file is there before somebody listens.
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", monitor)
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond, "QEMU's monitor")
	return q
}

// kill ends QEMU and waits for its end; a second time it does nothing.
func (q *qemu) kill() {
	_ = q.cmd.Process.Kill() // it may have ended
	_ = q.cmd.Wait()         // its status is the kill's
}

// serveAgentURL is the management socket of Kata's shim.
func serveAgentURL(t *testing.T, dir, url string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	l, err := net.Listen("unix", filepath.Join(dir, "shim-monitor.sock"))
	require.NoError(t, err)
	ended := make(chan struct{})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // the one question there is
			_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n"+url+"\n")
			_ = conn.Close()
		}
	}()
}

func (q *qemu) disks(t *testing.T) []vcext.Attachment {
	t.Helper()
	sandbox, err := q.finder.Find(t.Context(), sandboxID)
	require.NoError(t, err)
	disks, err := sandbox.List(t.Context())
	require.NoError(t, err)
	return disks
}

// The whole host side on real parts: a real disk, claimed, goes into a real
// QEMU, and after a failure comes out of it again.
func TestRealQEMU(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	p.guest.set(func(g *fakeGuest) { g.vm = nil })
	q := startQEMU(t, p)
	p.finder.set(nil, finder{Finder: q.finder})

	p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(status.Error(codes.Internal, "mkfs failed")) })
	requireRefused(t, p.create(entry(disk.n)), codes.Internal, "mkfs failed")
	require.Empty(t, q.disks(t))
	require.False(t, disk.claimed(t))

	p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
	require.NoError(t, p.create(entry(disk.n)))
	disks := q.disks(t)
	require.Len(t, disks, 1)
	require.True(t, disks[0].Device && disks[0].Node)
	require.Equal(t, p.guest.prepared, disks[0].Marker)
	require.True(t, disk.claimed(t), "QEMU holds the claim, ours is closed")

	second := newPod(t, unhurried)
	requireRefused(t, second.create(entry(disk.n)), codes.FailedPrecondition, "in use by another pod")

	q.kill()
	require.False(t, disk.claimed(t), "the claim ends with QEMU")
	require.NoError(t, second.create(entry(disk.n)))
}

// A QEMU that dies in the middle has nothing to undo: the next attempt says
// that the virtual machine is gone, not that something is left over.
func TestRealQEMUDies(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	q := startQEMU(t, p)
	p.finder.set(nil, finder{Finder: q.finder})
	p.guest.set(func(g *fakeGuest) {
		g.onPrepare = func(context.Context) error {
			q.kill()
			return status.Error(codes.Internal, "the disk is gone")
		}
		// Nobody in a virtual machine that has ended says more than that.
		g.onRelease = failing(status.Error(codes.Internal, "no such device"))
	})
	err := p.create(entry(disk.n))
	requireRefused(t, err, codes.Internal, "the disk is gone")
	require.NotContains(t, err.Error(), "could not be undone")
	require.False(t, disk.claimed(t))
	requireRefused(t, p.create(entry(disk.n)), codes.FailedPrecondition, "no kata-tes monitor", "delete the pod")
}
