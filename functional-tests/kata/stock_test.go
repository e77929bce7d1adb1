// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/stretchr/testify/require"
)

// TestStockKata shows that the test environment is sound: containerd boots a
// pod with stock Kata, its guest answers, its agent was asked for the
// containers, and nothing stays.
func TestStockKata(t *testing.T) {
	for _, version := range lab.Versions() {
		t.Run(version.Name, func(t *testing.T) {
			lab.NothingLeft(t, lab.KataSocket)
			lab.KeepConsoles(t)
			containerd := lab.StartContainerd(t, version)
			for _, image := range []string{"pause", "docker.io/library/busybox:latest"} {
				reference, err := containerd.Pull(t.Context(), image)
				require.NoError(t, err, "as the kubelet asks for it")
				require.Contains(t, reference, "sha256:")
			}
			pod := containerd.StartPod(t, lab.PodSpec{Name: "stock", Handler: lab.Kata})
			container := pod.StartContainer(t, lab.ContainerSpec{Name: "app", Command: []string{"sh", "-c", "echo hello; exec sleep 1000"}})

			guest := pod.MustGuest(t)
			require.Contains(t, guest.Must(t, "uname -r"), "-cloud-amd64")
			require.Contains(t, guest.Must(t, "cat /proc/cmdline"), "scsi_mod.scan=none", "Kata boots its guests without a scan for disks")

			records := guest.Records(t)
			require.Len(t, records, 2, "sandbox and container")
			require.Equal(t, pod.ID, records[0].Request.ContainerId)
			require.Equal(t, container.ID, records[1].Request.ContainerId)
			require.Empty(t, records[1].Mounts, "no store was asked for")

			answer, err := container.Exec(t.Context(), "sh", "-c", "echo from exec; exit 7")
			require.NoError(t, err)
			require.Equal(t, int32(7), answer.ExitCode)
			require.Equal(t, "from exec", strings.TrimSpace(string(answer.Stdout)))
			require.NoError(t, container.Stop(t.Context(), 5))
			require.NoError(t, container.Remove(t.Context()))
		})
	}
}
