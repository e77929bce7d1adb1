// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package demo_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/stretchr/testify/require"
)

// show prints for the person who watches.
func show(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// TestDemo runs the proposal's pod and shows its listings.
func TestDemo(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	show("\n# A node with containerd 2, Kata behind our shim, and an LV of 1 GiB (as open-local makes them)")
	containerd := lab.StartContainerd(t, lab.Containerd2)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", 1<<30).Create(t, "store", 1<<30)
	volume.Hold(t)

	show("\n# The pod of docs/trusted-ephemeral-storage.md, as the kubelet asks for it over CRI (runtime handler %s)", lab.Tes)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "trusted-lvm-block", Handler: lab.Tes})
	sidecar := pod.StartContainer(t, lab.ContainerSpec{
		Name: "sidecar-trusted-store", Image: "docker.io/library/pause:latest", Command: []string{"/pause"},
		Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}},
	})
	application := pod.StartContainer(t, lab.ContainerSpec{Name: "application", Command: []string{"sh", "-c", "sleep 10000"}})
	show("%-20s %s", "POD", "trusted-lvm-block")
	for name, container := range map[string]*lab.Container{"sidecar-trusted-store": sidecar, "application": application} {
		status, err := container.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, "CONTAINER_RUNNING", status.GetState().String())
		show("  %-24s %s", name, status.GetState())
	}

	listings(t, pod.MustGuest(t))
	ciphertext(t, pod.MustGuest(t), volume)

	show("\n# The pod is deleted; the volume is free at once")
	require.NoError(t, pod.Remove(context.Background()))
	free, err := volume.ExclusivelyFree()
	require.NoError(t, err)
	require.True(t, free)
}

// listings are the proposal's, from inside the guest. The header is in the
// guest's memory, so that cryptsetup must be told where.
func listings(t *testing.T, guest lab.Guest) {
	show("\n# Inside the guest")
	for _, listing := range []struct{ command, expect string }{
		{"lsblk --fs", "ephemeral_image_encrypted_disk"},
		{"cryptsetup status ephemeral_image_encrypted_disk --header /run/kata-tes/trusted_store.luks2", "aes-xts-plain64"},
		{"mount|grep image", "on /run/image type ext4 (rw,relatime)"},
		{"df -h /run/image", "ephemeral_image_encrypted_disk"},
		{"ls /run/image/", "layers"},
	} {
		// Through cat: lsblk breaks lines for a terminal.
		output := guest.Must(t, listing.command+" | cat")
		show("root@guest:/# %s\n%s", listing.command, strings.TrimRight(output, "\n"))
		require.Contains(t, output, listing.expect)
	}
}

// ciphertext writes a file in the guest and looks for it on the host.
func ciphertext(t *testing.T, guest lab.Guest, volume lab.Volume) {
	secret := "secret-" + rand.Text()
	show("\n# What the host sees of a file that the guest writes")
	show("root@guest:/# echo %s > /run/image/note; sync", secret)
	guest.Must(t, "echo "+secret+" > /run/image/note; sync")
	found, err := volume.Search([]byte(secret), []byte("LUKS\xba\xbe"), []byte("SKUL\xba\xbe"))
	require.NoError(t, err)
	show("root@host:/# searched all of %s: %d blocks of 4 KiB are written, none has the text or a LUKS header", volume.Path, found.Written)
	require.Positive(t, found.Written)
	require.Empty(t, found.Texts)
}
