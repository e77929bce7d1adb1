// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

const (
	mapping = "ephemeral_image_encrypted_disk"
	// patience is more than anything takes on an emulated machine.
	patience = 2 * time.Minute
	poll     = 50 * time.Millisecond
)

var mountPoints = []string{"/run/image", "/run/kata-containers/image"}

// rig is a pod's virtual machine, without a container, and what the lying host
// has of it.
type rig struct {
	containerd *lab.Containerd
	pod        *lab.Pod
	guest      lab.Guest
	sandbox    *vcext.Sandbox
	// occupied: images lie where the store would be mounted, for good.
	occupied bool
	// lun is the next address for disks beside Kata's.
	lun int
	// agent is the agent extension's process, rest what it has open when idle.
	agent string
	rest  int
}

func newRig(t *testing.T, containerd *lab.Containerd, name string) *rig {
	t.Helper()
	r := &rig{containerd: containerd, pod: containerd.StartPod(t, lab.PodSpec{Name: name, Handler: lab.Tes})}
	r.guest = r.pod.MustGuest(t)
	var err error
	r.sandbox, err = vcext.Finder{}.Find(t.Context(), r.pod.ID)
	require.NoError(t, err)
	// This guest image waits less long for a disk, so that the tests do, too.
	r.guest.Must(t, `sed -i 's/^find_timeout.*/find_timeout = "4s"/' /etc/kata-tes/agent.toml && killall kata-tes-agent`)
	r.startAgent(t)
	// What a first preparation opens for good (the runtime's poller) is no leak.
	a := &attempt{T: t, rig: r}
	marker := agentproto.NewMarker()
	d := a.disk(size)
	d.plug(marker)
	a.mustPrepare(marker)
	a.mustRelease(marker)
	d.unplug()
	require.Eventually(t, func() bool { return r.state(t).GetState() == agentv1.State_STATE_ABSENT }, patience, poll)
	r.rest = r.openFiles(t)
	return r
}

// startAgent starts the agent extension, which the guest's init does once only.
func (r *rig) startAgent(t *testing.T) {
	t.Helper()
	r.guest.Must(t, `while [ -n "$(`+living+`)" ]; do sleep 0.05; done
		setsid kata-tes-agent >>/run/log/agent.log 2>&1 &`)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := r.status(ctx)
		return err == nil
	}, patience, poll)
	r.agent = strings.TrimSpace(r.guest.Must(t, living))
}

// sh runs a script in the guest: the guest's own doing, or what others in it do.
func (a *attempt) sh(script string) string {
	a.Helper()
	return a.guest.Must(a, script)
}

// sweep is sh when the test has ended.
func (a *attempt) sweep(script string) {
	a.Cleanup(func() {
		output, status, err := a.guest.Run(context.Background(), script)
		if err != nil || status != 0 {
			a.Errorf("cleaning up in the guest by %q: status %d, %v: %s", script, status, err, output)
		}
	})
}

func (r *rig) openFiles(t *testing.T) (count int) {
	t.Helper()
	output, _, err := r.guest.Run(context.Background(), "ls /proc/"+r.agent+"/fd | wc -l")
	require.NoError(t, err)
	_, err = fmt.Sscan(output, &count)
	require.NoError(t, err)
	return count
}

func (r *rig) state(t *testing.T) *agentv1.StatusResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := r.status(ctx)
	require.NoError(t, err)
	return answer
}

// inventory prints what a preparation can leave in the guest, a line each, and
// last the agent extension's process and how many descriptors it has.
const inventory = `
dmsetup ls | grep -v "^No devices"
find /run/kata-tes -type f -o -type b
for l in /sys/block/loop*/loop; do [ -e $l ] && echo $l; done
tail -n +2 /proc/swaps
for d in /sys/block/sd*; do [ -e $d ] && echo $d; done
for p in $(pidof cryptsetup cryptsetup.real mkfs.ext4 mke2fs); do [ -e /proc/$p/exe ] && echo $p; done
ls -d /run/attack 2>/dev/null`

const (
	// withoutImages is for a guest into which nothing was pulled.
	withoutImages = `
grep -e " /run/image" -e " /run/kata-containers/image" /proc/self/mountinfo
for d in /run/image /run/kata-containers/image; do [ -d $d ] && find $d -mindepth 1; done`
	process = `
p=$(` + living + `)
echo process "$p" $(ls /proc/$p/fd | wc -l)`
	// living are the agent extension's processes. (The stand-in for kata-agent
	// adopts what is started by its console, and leaves what has ended.)
	living = `for p in $(pidof kata-tes-agent); do [ -e /proc/$p/exe ] && echo $p; done; true`
)

// requireClean: the guest is as it was, and so is QEMU.
func (r *rig) requireClean(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.requireAbsent(ctx, t)
	script := inventory
	if !r.occupied {
		script += withoutImages
	}
	var left string
	clean := func() bool {
		output, status, err := r.guest.Run(ctx, script+process)
		left = fmt.Sprintf("%s (status %d, %v)", output, status, err)
		var agent string
		var open int
		n, _ := fmt.Sscanf(output, "process %s %d\n", &agent, &open)
		return n == 2 && agent == r.agent && open <= r.rest
	}
	if !waitFor(ctx, clean) {
		t.Errorf("not as before in the guest, where the agent extension was process %s with %d descriptors:\n%s", r.agent, r.rest, left)
	}
	disks, err := r.sandbox.List(ctx)
	require.NoError(t, err)
	require.Empty(t, disks, "left in QEMU")
}

// requireAbsent: the agent extension answers that no disk belongs to the store.
// What was cancelled is being undone, and after a flood it serves again a moment
// later.
func (r *rig) requireAbsent(ctx context.Context, t *testing.T) {
	t.Helper()
	var answer *agentv1.StatusResponse
	var err error
	if !waitFor(ctx, func() bool {
		answer, err = r.status(ctx)
		return err == nil && answer.GetState() != agentv1.State_STATE_PREPARING
	}) {
		t.Fatalf("the agent extension does not answer, or does not end: %v, %v", answer, err)
	}
	if answer.GetState() == agentv1.State_STATE_ABSENT {
		return
	}
	t.Errorf("a store is left: %v", answer)
	// For the sake of the next attack.
	if err := r.release(ctx, agentproto.Marker(answer.GetMarker())); err != nil {
		t.Errorf("and it can't be released: %v", err)
	}
}

// settleLimit is how long what ends may take to be gone.
const settleLimit = 20 * time.Second

func waitFor(ctx context.Context, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(poll):
		}
	}
	return true
}
