// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
	"github.com/stretchr/testify/require"
)

const gib = 1 << 30

// sidecar is the proposal's first container.
func sidecar(volume lab.Volume) lab.ContainerSpec {
	return lab.ContainerSpec{
		Name: "sidecar-trusted-store", Image: "docker.io/library/pause:latest", Command: []string{"/pause"},
		Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}},
	}
}

var application = lab.ContainerSpec{Name: "application", Command: []string{"sh", "-c", "sleep 10000"}}

// TestTrustedStore is the proposal's pod, over CRI, with all that a user of it
// relies on.
func TestTrustedStore(t *testing.T) {
	for _, c := range []struct {
		version lab.Version
		handler string
	}{
		{lab.Containerd1, lab.Tes},
		{lab.Containerd2, lab.Tes},
		{lab.Containerd2, lab.TesBlk},
	} {
		t.Run(c.version.Name+"/"+c.handler, func(t *testing.T) {
			lab.NothingLeft(t)
			lab.KeepConsoles(t)
			containerd := lab.StartContainerd(t, c.version)
			volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
			volume.Hold(t)

			pod := containerd.StartPod(t, lab.PodSpec{Name: "trusted-lvm-block", Handler: c.handler})
			first := pod.StartContainer(t, sidecar(volume))
			pod.StartContainer(t, application)
			guest := pod.MustGuest(t)

			t.Run("the guest shows what the proposal shows", func(t *testing.T) { proposal.CheckListings(t, guest) })
			t.Run("the store was there before any container", func(t *testing.T) { checkOrder(t, guest) })
			t.Run("the host reads nothing", func(t *testing.T) { checkCiphertext(t, guest, volume) })
			t.Run("the operator sees it", func(t *testing.T) { checkStatus(t, pod, c.handler, volume) })
			t.Run("the volume is locked", func(t *testing.T) {
				free, err := volume.ExclusivelyFree()
				require.NoError(t, err)
				require.False(t, free, "QEMU holds the exclusive claim")
			})
			t.Run("the store outlives its sidecar", func(t *testing.T) { checkRestart(t, pod, guest, first, volume) })
			t.Run("containerd may restart", func(t *testing.T) {
				require.NoError(t, containerd.Restart(true))
				again := sidecar(volume)
				again.Attempt = 2
				pod.StartContainer(t, again)
				require.Contains(t, guest.Must(t, "cat /proc/mounts"), proposal.Mapping+" /run/image ")
			})

			require.NoError(t, pod.Remove(t.Context()))
			free, err := volume.ExclusivelyFree()
			require.NoError(t, err)
			require.True(t, free, "nobody holds the volume of a pod that is gone")
		})
	}
}

// checkOrder looks at what the agent was asked, and what was mounted then.
func checkOrder(t *testing.T, guest lab.Guest) {
	records := guest.Records(t)
	require.Len(t, records, 3, "sandbox, sidecar, application")
	require.Empty(t, records[0].Mounts, "the sandbox comes before the store")
	for _, record := range records[1:] {
		require.Len(t, record.Mounts, 2)
		require.Equal(t, proposal.Mapping, record.Mounts[0].Source)
		require.Empty(t, record.Request.Devices, "Kata knows nothing of the device")
		for _, device := range record.Request.OCI.GetLinux().GetDevices() {
			require.NotEqual(t, lab.TrustedStore, device.Path)
		}
	}
}

// checkCiphertext writes into the store and looks for it on the host.
func checkCiphertext(t *testing.T, guest lab.Guest, volume lab.Volume) {
	secret := "secret-" + rand.Text()
	guest.Must(t, "echo "+secret+" > /run/image/"+secret+" && sync")
	found, err := volume.Search([]byte(secret), []byte("LUKS\xba\xbe"), []byte("SKUL\xba\xbe"), []byte("lost+found"))
	require.NoError(t, err)
	require.Empty(t, found.Texts, "readable on the host")
	guest.Must(t, "rm /run/image/"+secret)
	require.Positive(t, found.Written, "something was written to the volume, or the search proves nothing")
}

// checkRestart ends the sidecar and starts it again, as the kubelet does.
func checkRestart(t *testing.T, pod *lab.Pod, guest lab.Guest, first *lab.Container, volume lab.Volume) {
	guest.Must(t, "echo kept > /run/image/kept && sync")
	require.NoError(t, first.Stop(t.Context(), 1))
	require.NoError(t, first.Remove(t.Context()))
	require.Equal(t, "kept", strings.TrimSpace(guest.Must(t, "cat /run/image/kept")), "the store without its sidecar")

	again := sidecar(volume)
	again.Attempt = 1
	pod.StartContainer(t, again)
	require.Equal(t, "kept", strings.TrimSpace(guest.Must(t, "cat /run/image/kept")), "the same store, not a new one")
}
