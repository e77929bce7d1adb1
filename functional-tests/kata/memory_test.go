// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// TestImageLargerThanMemory is what the store is for: an image of 544 MiB in a
// guest of 512 MiB.
func TestImageLargerThanMemory(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	const image, size = "docker.io/library/large-544:latest", 544 << 20
	containerd.AddImage(t, image)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", 2*gib).Create(t, "store", 2*gib)
	large := lab.ContainerSpec{Name: "large", Image: image}
	small := lab.ContainerSpec{Name: "small"}

	t.Run("without a store it does not fit", func(t *testing.T) {
		pod := containerd.StartPod(t, lab.PodSpec{Name: "without-store", Handler: lab.Tes})
		checkMemory(t, pod.MustGuest(t), size)
		_, err := pod.Run(t.Context(), large)
		require.ErrorContains(t, err, "failed to pull image "+image)
		require.ErrorContains(t, err, "no space left on device")
		t.Logf("the user reads: %v", err)
		pod.StartContainer(t, small)
		require.NoError(t, pod.Remove(t.Context()))
	})
	t.Run("with a store it runs", func(t *testing.T) {
		pod := containerd.StartPod(t, lab.PodSpec{Name: "with-store", Handler: lab.Tes})
		checkMemory(t, pod.MustGuest(t), size)
		pod.StartContainer(t, sidecar(volume))
		c := pod.StartContainer(t, large)
		started := time.Now()
		answer, err := c.Exec(t.Context(), "sha256sum", "-c", "/pattern.sha256")
		require.NoError(t, err)
		require.Zero(t, answer.GetExitCode(), "%s%s", answer.GetStdout(), answer.GetStderr())
		t.Logf("read back %d MiB in %.1f s", size>>20, time.Since(started).Seconds())
		require.NoError(t, pod.Remove(t.Context()))
	})
}

// checkMemory sees to it that the test tests something.
func checkMemory(t *testing.T, guest lab.Guest, image int) {
	t.Helper()
	var kib int
	_, err := fmt.Sscan(guest.Must(t, "awk '/^MemTotal:/ {print $2}' /proc/meminfo"), &kib)
	require.NoError(t, err)
	require.Less(t, kib<<10, image, "the guest's memory is smaller than the image")
}
