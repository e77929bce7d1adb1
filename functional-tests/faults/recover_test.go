// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// recover does what systemd and the kubelet do after a kill.
func (tr *trial) recover(victim Victim, c *lab.Container, err error) {
	tr.t.Helper()
	switch victim {
	case Containerd:
		require.NoError(tr.t, tr.containerd.Restart(true))
		tr.unknown = append(tr.unknown, c)
	case Agent:
		tr.restartAgent()
	}
	if victim.EndsSandbox() {
		tr.replace()
	}
	tr.retry(c, err, victim.EndsSandbox())
}

// replace makes the pod again on the same volume. How the dead one ends is
// containerd's and Kata's; the kubelet tries until it has.
func (tr *trial) replace() {
	tr.t.Helper()
	tr.eventually("containerd sees the sandbox end", func() (bool, error) {
		ready, err := tr.pod.Ready(tr.t.Context())
		return err == nil && !ready, err
	})
	tr.eventually("the pod can be removed", func() (bool, error) {
		err := tr.pod.Remove(tr.t.Context())
		return err == nil, err
	})
	tr.others = append(tr.others, lab.ForgetKilled(tr.t, tr.pod)...)
	tr.eventually("nobody holds the volume", tr.volume.ExclusivelyFree)
	tr.startPod()
}

// tries is how often the kubelet may need to start a container: containerd that
// has just started, or Kata that still creates the last one, may say no once.
const tries = 3

// retry starts the container until it runs, on its store. err is how the last
// attempt ended: a container that runs already is the one.
func (tr *trial) retry(c *lab.Container, err error, fresh bool) {
	tr.t.Helper()
	if err == nil {
		tr.checkRuns(c)
		return
	}
	if !fresh {
		tr.checkDoesNotRun(c)
		tr.eventually("the failed container can be removed", func() (bool, error) {
			err := c.Remove(tr.t.Context())
			return err == nil, err
		})
	}
	for try := 1; ; try++ {
		next, ended := tr.start(tr.t.Context())
		err := <-ended
		if err == nil {
			tr.checkRuns(next)
			return
		}
		tr.t.Logf("try %d: %v", try, err)
		require.Less(tr.t, try, tries, "the next attempts fail: %v", err)
		require.NoError(tr.t, next.Remove(tr.t.Context()))
		time.Sleep(time.Second) // the kubelet's patience, which is longer
	}
}

func (tr *trial) checkDoesNotRun(c *lab.Container) {
	tr.t.Helper()
	status, err := c.Status(tr.t.Context())
	require.NoError(tr.t, err)
	require.NotEqual(tr.t, runtime.ContainerState_CONTAINER_RUNNING, status.GetState(), "its start has failed")
}

// checkRuns: the container runs, on the one store, and QEMU has one disk of ours.
func (tr *trial) checkRuns(c *lab.Container) {
	tr.t.Helper()
	status, err := c.Status(tr.t.Context())
	require.NoError(tr.t, err)
	require.Equal(tr.t, runtime.ContainerState_CONTAINER_RUNNING, status.GetState())
	tr.checkStore()
	disks := tr.disks()
	require.Len(tr.t, disks, 1)
	require.Truef(tr.t, disks[0].Device && disks[0].Node && len(disks[0].FDSets) == 0, "%+v", disks[0])
}

// disks are those of ours that QEMU has.
func (tr *trial) disks() []vcext.Attachment {
	tr.t.Helper()
	sandbox, err := vcext.Finder{}.Find(tr.t.Context(), tr.pod.ID)
	require.NoError(tr.t, err)
	disks, err := sandbox.List(tr.t.Context())
	require.NoError(tr.t, err)
	return disks
}

// words are what the user reads, on one line.
func words(err error) string {
	if err == nil {
		return "started"
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	// What CRI and containerd put in front says nothing.
	for _, prefix := range []string{"failed to create shim task: ", "rpc error: "} {
		if i := strings.LastIndex(text, prefix); i >= 0 {
			text = text[i+len(prefix):]
		}
	}
	return text
}

// forgetUnknown removes the bundles that containerd forgets when it is killed
// while it waits for a shim's Create, with us or without us
// (TestContainerdKilledWithStockKata).
func (tr *trial) forgetUnknown() {
	tr.t.Helper()
	for _, c := range tr.unknown {
		if folder := lab.ForgetBundle(tr.t, c); folder != "" {
			tr.others = append(tr.others, folder)
		}
	}
}
