// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// writer writes so many MiB to its own root, which is on the store, again and
// again. Few: an emulated cpu encrypts slowly, and what is on its way keeps the pod.
const writer = `while :; do dd if=/dev/zero of=/data bs=1M count=%d conv=fsync; sleep 1; done`

// blockError is QEMU's event, with the store's disk, and that it is the guest's
// affair.
const blockError = `BLOCK_IO_ERROR map\[action:report [^]]*node-name:tes-`

// inUse are faults of the disk under a store on which containers work.
var inUse = []struct {
	name string
	// volume makes the volume; nil: an ordinary one.
	volume func(t *testing.T, g *lab.VolumeGroup) lab.Volume
	// fault breaks the disk.
	fault func(t *testing.T, d *broken)
	// writes is how much the writer writes, in MiB; 0 for 8.
	writes int
	// seen is what the guest's kernel says of it; empty: nothing has to fail.
	// host is what the host's kernel says, or QEMU by its monitor, whose events
	// Kata's shim writes to the log (at level debug). Device-mapper fails the
	// requests of a mapping to nothing without a word of its own.
	seen, host string
}{
	{name: "every request fails", fault: func(t *testing.T, d *broken) { d.volume.Failing(t) }, seen: "I/O error", host: blockError},
	{name: "requests fail now and then", fault: func(t *testing.T, d *broken) { d.volume.Flaky(t) }, seen: "I/O error", host: blockError},
	{
		name: "a thin pool is full",
		volume: func(t *testing.T, g *lab.VolumeGroup) lab.Volume {
			return g.CreateThin(t, "store", size, 32<<20)
		},
		fault:  func(*testing.T, *broken) {}, // the writer fills it
		writes: 64,
		seen:   "I/O error|critical space allocation error",
		host:   "device-mapper: thin: .*out-of-data-space",
	},
	{name: "the disk leaves the machine", fault: func(t *testing.T, d *broken) { d.unplug(t) }, seen: "I/O error|offlin|Synchroniz|detached|rejecting"},
	{
		name: "lvremove is refused", fault: func(t *testing.T, d *broken) {
			require.ErrorContains(t, d.volume.Remove(), "in use")
		},
	},
}

// TestDiskInUse breaks the disk under a pod that writes: the guest's kernel says
// so, machine and agents live on, and the pod can be deleted.
func TestDiskInUse(t *testing.T) {
	r := newRig(t)
	tried, survived := 0, 0
	faults := inUse
	if !all() {
		faults = inUse[rotation(t)%len(inUse):][:1]
	}
	for _, f := range faults {
		ran := false
		ok := t.Run(f.name, func(t *testing.T) {
			ran = true
			lab.NothingLeft(t)
			volume := f.volume
			if volume == nil {
				volume = func(t *testing.T, g *lab.VolumeGroup) lab.Volume { return g.Create(t, "store", size) }
			}
			_, before := r.hostSays(t, said{})
			d := r.work(t, volume(t, r.group), cmp.Or(f.writes, 8))
			f.fault(t, d)
			if f.seen != "" {
				d.awaitMessage(t, f.seen)
			}
			if f.host != "" {
				r.awaitHost(t, f.host, before)
			}
			d.checkAlive(t)
			began := time.Now()
			require.NoError(t, d.pod.Remove(t.Context()))
			t.Logf("the pod is removed after %.1f s", time.Since(began).Seconds())
			free, err := d.volume.ExclusivelyFree()
			require.NoError(t, err)
			require.True(t, free, "nobody holds the volume of a pod that is gone")
		})
		if ran {
			tried++
		}
		if ran && ok {
			survived++
		}
	}
	t.Logf("summary: disk faults in use: %d of %d tried, %d survived", tried, len(inUse), survived)
}

// broken is a pod at work on a disk that is to be broken.
type broken struct {
	pod    *lab.Pod
	guest  lab.Guest
	volume lab.Volume
	app    *lab.Container
}

func (r *rig) work(t *testing.T, volume lab.Volume, writes int) *broken {
	t.Helper()
	d := &broken{volume: volume}
	d.pod = r.containerd.StartPod(t, lab.PodSpec{Name: "disk", Handler: lab.Tes})
	d.guest = d.pod.MustGuest(t)
	d.pod.StartContainer(t, sidecar(volume))
	d.app = d.pod.StartContainer(t, lab.ContainerSpec{Name: "application"})
	// Its files are in the guest's cache from here on.
	_, err := d.app.Exec(t.Context(), "echo", "at work")
	require.NoError(t, err)
	d.pod.StartContainer(t, lab.ContainerSpec{Name: "writer", Command: []string{"sh", "-c", fmt.Sprintf(writer, writes)}})
	return d
}

func sidecar(volume lab.Volume) lab.ContainerSpec {
	return lab.ContainerSpec{
		Name:    "sidecar-trusted-store",
		Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}},
	}
}

// awaitMessage waits for the guest's kernel to tell of the fault.
func (d *broken) awaitMessage(t *testing.T, pattern string) {
	t.Helper()
	var line string
	require.Eventually(t, func() bool {
		output, status, err := d.guest.Run(t.Context(), fmt.Sprintf("dmesg | grep -E -m 1 %q", pattern))
		line = output
		return err == nil && status == 0
	}, patience, 200*time.Millisecond, "the guest's kernel says nothing")
	t.Logf("the guest's kernel: %s", line)
}

// said is how much the host has said: bytes of containerd's log and of its
// kernel's.
type said struct{ containerd, kernel int }

// hostSays is what it says since then, and how much it is in all.
func (r *rig) hostSays(t *testing.T, since said) (string, said) {
	t.Helper()
	kernel, err := exec.Command("dmesg").Output()
	require.NoError(t, err)
	log, err := os.ReadFile(r.containerd.LogPath())
	require.NoError(t, err)
	return string(log[since.containerd:]) + string(kernel[since.kernel:]), said{len(log), len(kernel)}
}

// awaitHost waits for the host to tell of the fault.
func (r *rig) awaitHost(t *testing.T, pattern string, since said) {
	t.Helper()
	line := regexp.MustCompile(".*(?:" + pattern + ").*")
	var found string
	require.Eventually(t, func() bool {
		text, _ := r.hostSays(t, since)
		found = line.FindString(text)
		return found != ""
	}, patience, 200*time.Millisecond, "the host says nothing of %s", pattern)
	t.Logf("the host: %s", found)
}

// checkAlive asks all that has to live on.
func (d *broken) checkAlive(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var status struct {
		Running bool
		Status  string
	}
	d.monitor(ctx, t, "query-status", nil, &status)
	require.True(t, status.Running, "the virtual machine is %s", status.Status)

	conn, err := dial.Dial(ctx, fmt.Sprintf("vsock://%d:1024", d.guest.CID), agentproto.Port)
	require.NoError(t, err)
	client := ttrpc.NewClient(conn)
	defer func() { _ = client.Close() }()
	answer, err := agentv1.NewTrustedStoreClient(client).Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
	require.NoError(t, err, "our agent extension")
	require.Equal(t, agentv1.State_STATE_READY, answer.GetState())

	// What is cached runs; what is not fails cleanly. Either is an answer.
	executed, err := d.app.Exec(ctx, "echo", "at work")
	t.Logf("exec in another container: %s%s %v", executed.GetStdout(), executed.GetStderr(), err)
	require.NoError(t, ctx.Err(), "kata-agent does not answer")
	ready, err := d.pod.Ready(ctx)
	require.NoError(t, err)
	require.True(t, ready)
}

// monitor sends a command by our monitor.
func (d *broken) monitor(ctx context.Context, t *testing.T, command string, args, result any) {
	t.Helper()
	conn, err := qmp.Dial(ctx, rundir.MonitorPath(rundir.Root, d.pod.ID))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, conn.Execute(ctx, command, args, result))
}

// unplug takes the store's disk out of the machine without asking the guest.
func (d *broken) unplug(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	var entries []struct{ Name string }
	d.monitor(ctx, t, "qom-list", map[string]string{"path": "/machine/peripheral"}, &entries)
	for _, e := range entries {
		if _, err := agentproto.ParseMarker(e.Name); err == nil {
			d.monitor(ctx, t, "device_del", map[string]string{"id": e.Name}, nil)
			return
		}
	}
	t.Fatalf("QEMU has no disk of ours among %v", entries)
}
