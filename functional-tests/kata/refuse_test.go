// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
	"github.com/stretchr/testify/require"
)

// refusal is a wrong attempt: what makes it wrong, what mends it, and what the
// user reads.
type refusal struct {
	name  string
	spec  lab.ContainerSpec
	spoil func(t *testing.T)
	mend  func(t *testing.T)
	says  []string
}

// TestRefused tries what is wrong, in one pod, each followed by the same pod's
// application, which must not start without its store either. At the end the
// correct attempt works in that pod.
func TestRefused(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	shortTimeouts(t)
	group := lab.NewVolumeGroup(t, "open-local-pool-0", gib+128<<20)
	volume := group.Create(t, "store", gib)
	tiny := group.Create(t, "tiny", 32<<20)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "refused", Handler: lab.Tes})
	guest := pod.MustGuest(t)

	for _, r := range append(hostRefusals(volume, tiny), guestRefusals(guest, volume)...) {
		t.Run(r.name, func(t *testing.T) {
			r.spoil(t)
			_, err := pod.Run(t.Context(), r.spec)
			_, after := pod.Run(t.Context(), application)
			r.mend(t)

			require.Error(t, err)
			for _, text := range r.says {
				require.ErrorContains(t, err, text)
			}
			t.Logf("the user reads: %v", err)
			require.Error(t, after, "the application must not start without its store")
			require.ErrorContains(t, after, "trusted store")
			require.NotContains(t, guest.Must(t, "cat /proc/mounts; ls /dev/mapper"), "ephemeral_image_encrypted_disk")
			free, err := volume.ExclusivelyFree()
			require.NoError(t, err)
			require.True(t, free, "the volume is let go of")
		})
	}

	pod.StartContainer(t, sidecar(volume))
	pod.StartContainer(t, application)
	proposal.CheckListings(t, guest)

	t.Run("in use by another pod", func(t *testing.T) {
		other := containerd.StartPod(t, lab.PodSpec{Name: "other", Handler: lab.Tes})
		_, err := other.Run(t.Context(), sidecar(volume))
		require.ErrorContains(t, err, "in use")
		t.Logf("the user reads: %v", err)
		proposal.CheckListings(t, guest)
	})
}

// hostRefusals are found out before the virtual machine is touched.
func hostRefusals(volume, tiny lab.Volume) []refusal {
	nothing := func(*testing.T) {}
	from := func(host string) lab.ContainerSpec {
		return lab.ContainerSpec{Name: "sidecar-trusted-store", Devices: []lab.Device{{Host: host, Container: lab.TrustedStore}}}
	}
	return []refusal{
		{"character device", from("/dev/null"), nothing, nothing, []string{"block device"}},
		{"too small", from(tiny.Path), nothing, nothing, []string{"small"}},
		{
			"a claim that is readOnly",
			lab.ContainerSpec{Name: "sidecar-trusted-store", Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore, Permissions: "r"}}},
			nothing, nothing,
			[]string{"read-only for this container", "readOnly"},
		},
		{
			"read-only", from(volume.Path),
			func(t *testing.T) { host(t, "blockdev", "--setro", volume.Path) },
			func(t *testing.T) { host(t, "blockdev", "--setrw", volume.Path) },
			[]string{"read-only"},
		},
		{
			"mounted on the host", from(volume.Path),
			func(t *testing.T) {
				host(t, "mkfs.ext4", "-q", "-F", volume.Path)
				host(t, "mount", volume.Path, "/mnt")
			},
			func(t *testing.T) { host(t, "umount", "/mnt") },
			[]string{"in use"},
		},
	}
}

// guestRefusals are what the guest says, or does not say.
func guestRefusals(guest lab.Guest, volume lab.Volume) []refusal {
	// replace puts a script in a program's place, and back.
	replace := func(program, script string) (spoil, mend func(t *testing.T)) {
		return func(t *testing.T) {
				guest.Must(t, "mv "+program+" "+program+".real && printf \"#!/bin/sh\\n"+script+"\\n\" > "+program+" && chmod 755 "+program)
			}, func(t *testing.T) {
				guest.Must(t, "mv "+program+".real "+program)
			}
	}
	with := func(name, program, script string, says ...string) refusal {
		spoil, mend := replace(program, script)
		return refusal{name, sidecar(volume), spoil, mend, says}
	}
	return []refusal{
		with("cryptsetup fails", "/usr/sbin/cryptsetup", "echo no entropy today >&2; exit 1", "cryptsetup luksFormat", "no entropy today"),
		with("cryptsetup takes for ever", "/usr/sbin/cryptsetup", "sleep 1000", "did not end within 15s", "raise"),
		with("mkfs fails", "/usr/sbin/mkfs.ext4", "echo no superblock today >&2; exit 1", "mkfs.ext4", "no superblock today"),
		{
			"the mount point is not empty", sidecar(volume),
			func(t *testing.T) { guest.Must(t, "mkdir -p /run/image && touch /run/image/layer") },
			func(t *testing.T) { guest.Must(t, "rm /run/image/layer") },
			[]string{"/run/image", "layer"},
		},
		{
			"the agent extension does not answer", sidecar(volume),
			func(t *testing.T) { guest.Must(t, "killall -STOP kata-tes-agent") },
			func(t *testing.T) { guest.Must(t, "killall -CONT kata-tes-agent") },
			[]string{"kata-tes-agent does not answer"},
		},
	}
}

// shortTimeouts makes the shim give up soon: an emulated machine has nothing to
// gain by waiting for what never comes.
func shortTimeouts(t *testing.T) {
	t.Helper()
	const path, line = "/etc/kata-tes/config.toml", "log_level = \"debug\"\n"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	short := strings.Replace(string(text), line, line+"[defaults.timeouts]\nfind = \"10s\"\nprepare = \"15s\"\n", 1)
	require.NotEqual(t, string(text), short)
	require.NoError(t, os.WriteFile(path, []byte(short), 0o600))
}

// host runs a program of the node.
func host(t *testing.T, name string, args ...string) {
	t.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, output)
}

// TestRefusedWithoutOurParts: a node or a guest that was set up by half.
func TestRefusedWithoutOurParts(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd1)
	shortTimeouts(t)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
	for _, c := range []struct {
		handler string
		says    []string
	}{
		{lab.TesNoMonitor, []string{"monitor", "kata-tes install"}},
		{lab.TesNoAgent, []string{"kata-tes-agent", "guest image"}},
	} {
		t.Run(c.handler, func(t *testing.T) {
			pod := containerd.StartPod(t, lab.PodSpec{Name: "half", Handler: c.handler})
			_, err := pod.Run(t.Context(), sidecar(volume))
			require.Error(t, err)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
			t.Logf("the user reads: %v", err)
			_, err = pod.Run(t.Context(), application)
			require.ErrorContains(t, err, "trusted store")
			require.NoError(t, pod.Remove(t.Context()))
			free, err := volume.ExclusivelyFree()
			require.NoError(t, err)
			require.True(t, free)
		})
	}
	t.Run("no store, no parts", func(t *testing.T) {
		pod := containerd.StartPod(t, lab.PodSpec{Name: "plain", Handler: lab.TesNoMonitor})
		pod.StartContainer(t, application)
		require.NoError(t, pod.Remove(t.Context()))
	})
}
