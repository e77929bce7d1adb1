// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestKilled kills what a pod consists of, one after the other. containerd must
// see the pod end, nothing may stay, and the next pod on the same volume works,
// whatever the last one left on it.
func TestKilled(t *testing.T) {
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)

	inner := func(p *lab.Pod) (lab.Process, error) { return p.Shim("containerd-shim-kata-v2") }
	ours := func(p *lab.Pod) (lab.Process, error) { return p.Shim("containerd-shim-kata-tes-v2") }
	for _, c := range []struct {
		name, handler string
		find          func(*lab.Pod) (lab.Process, error)
	}{
		// What stock Kata does is the measure.
		{"the shim of stock Kata", lab.Kata, inner},
		{"QEMU of stock Kata", lab.Kata, (*lab.Pod).QEMU},
		{"QEMU", lab.Tes, (*lab.Pod).QEMU},
		{"the inner shim", lab.Tes, inner},
		{"our shim", lab.Tes, ours},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.handler == lab.Tes {
				lab.NothingLeft(t)
			}
			pod := containerd.StartPod(t, lab.PodSpec{Name: "killed", Handler: c.handler})
			if c.handler == lab.Tes {
				pod.StartContainer(t, sidecar(volume))
			}
			pod.StartContainer(t, application)

			victim, err := c.find(pod)
			require.NoError(t, err)
			require.NoError(t, unix.Kill(victim.PID, unix.SIGKILL))
			require.Eventually(t, func() bool {
				ready, err := pod.Ready(t.Context())
				return err == nil && !ready
			}, 3*time.Minute, 100*time.Millisecond, "containerd sees the pod end")
			// containerd hears of each container's end by itself; the kubelet tries
			// until it has.
			require.Eventually(t, func() bool {
				err := pod.Remove(t.Context())
				if err != nil {
					t.Logf("not yet: %.200s", err.Error())
				}
				return err == nil
			}, 3*time.Minute, time.Second, "the pod can be removed")
			lab.ForgetKilled(t, pod)
			require.Eventually(t, func() bool {
				free, err := volume.ExclusivelyFree()
				return err == nil && free
			}, time.Minute, 100*time.Millisecond, "nobody holds the volume")
		})
	}
}
