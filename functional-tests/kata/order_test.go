// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
	"github.com/stretchr/testify/require"
)

// soon bounds what follows an answer that the test has already.
const soon = 30 * time.Second

// TestLateStoreWarned: the application comes first, and the node is configured
// as it is by default. The log and the metrics say so; whether there is a store
// then is up to the guest, which never mounts one over an image.
func TestLateStoreWarned(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "late", Handler: lab.Tes})
	guest := pod.MustGuest(t)
	counted := metric(t, `kata_tes_late_stores_total{action="warn"}`)

	pod.StartContainer(t, application)
	images := imagesInGuest(t, guest)
	_, err := pod.Run(t.Context(), sidecar(volume))

	require.Eventually(t, func() bool { return lateLine(t, containerd, pod) != "" }, soon, 100*time.Millisecond, "the log has a line about it")
	line := lateLine(t, containerd, pod)
	t.Logf("the operator reads: %s", line)
	require.Contains(t, line, "level=warning")
	require.Contains(t, line, "[application]")
	require.Contains(t, line, "native sidecar")
	awaitMetric(t, `kata_tes_late_stores_total{action="warn"}`, counted+1)

	if images == "" {
		// The application's image was not pulled in the guest.
		t.Log("no image is in the guest's memory: the store is made all the same")
		require.NoError(t, err)
		require.Contains(t, guest.Must(t, "cat /proc/mounts"), proposal.Mapping+" /run/image ")
		return
	}
	checkNotOverImages(t, guest, volume, images, err)
}

// TestLateStoreOverAnImage: an image is where the guest unpacks them, whether
// or not the test's guest has pulled the application's there.
func TestLateStoreOverAnImage(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd1)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "late", Handler: lab.Tes})
	guest := pod.MustGuest(t)

	pod.StartContainer(t, application)
	guest.Must(t, "mkdir -p /run/kata-containers/image/layers")
	images := imagesInGuest(t, guest)
	_, err := pod.Run(t.Context(), sidecar(volume))
	checkNotOverImages(t, guest, volume, images, err)

	second := application
	second.Name = "second"
	_, err = pod.Run(t.Context(), second)
	require.ErrorContains(t, err, "trusted store")
	require.ErrorContains(t, err, "native sidecar")
}

// checkNotOverImages: a store that came after images is refused by the guest,
// with the sentence that the host adds, and nothing has changed.
func checkNotOverImages(t *testing.T, guest lab.Guest, volume lab.Volume, images string, err error) {
	t.Helper()
	require.Error(t, err, "the guest must not mount over images: %s", images)
	t.Logf("the user reads: %v", err)
	require.NotContains(t, err.Error(), "another volume", "which would not help")
	for _, words := range []string{`"application" was created before`, "first", "native sidecar", "delete the pod"} {
		require.ErrorContains(t, err, words)
	}
	require.NotContains(t, guest.Must(t, "cat /proc/mounts; ls /dev/mapper"), "ephemeral_image_encrypted_disk")
	require.Equal(t, images, imagesInGuest(t, guest), "the application's image stays as it was")
	free, err := volume.ExclusivelyFree()
	require.NoError(t, err)
	require.True(t, free, "the volume is let go of")
}

// TestLateStoreRefused: the same with late_store = "refuse". A pod that is made
// again in order works.
func TestLateStoreRefused(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	configure(t, "late_store = \"refuse\"\n")
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "late", Handler: lab.Tes})
	counted := metric(t, `kata_tes_late_stores_total{action="refuse"}`)

	pod.StartContainer(t, application)
	_, err := pod.Run(t.Context(), sidecar(volume))
	require.Error(t, err)
	t.Logf("the user reads: %v", err)
	for _, words := range []string{"FailedPrecondition", "too late", `"application" was created before`, "first", "native sidecar", "delete the pod"} {
		require.ErrorContains(t, err, words)
	}
	second := application
	second.Name = "second"
	_, err = pod.Run(t.Context(), second)
	require.ErrorContains(t, err, "trusted store")
	require.ErrorContains(t, err, "native sidecar")
	awaitMetric(t, `kata_tes_late_stores_total{action="refuse"}`, counted+1)
	free, err := volume.ExclusivelyFree()
	require.NoError(t, err)
	require.True(t, free, "the volume was not touched")
	require.NoError(t, pod.Remove(t.Context()))

	again := containerd.StartPod(t, lab.PodSpec{Name: "in-order", Handler: lab.Tes})
	again.StartContainer(t, sidecar(volume))
	again.StartContainer(t, application)
	require.Contains(t, again.MustGuest(t).Must(t, "cat /proc/mounts"), proposal.Mapping+" /run/image ")
}

// TestPaths: a path that only begins like the store's is refused, and any other
// is Kata's affair.
func TestPaths(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
	at := func(path string) lab.ContainerSpec {
		return lab.ContainerSpec{Name: "sidecar-trusted-store", Devices: []lab.Device{{Host: volume.Path, Container: path}}}
	}

	t.Run("a slip of the pen", func(t *testing.T) {
		pod := containerd.StartPod(t, lab.PodSpec{Name: "slip", Handler: lab.Tes})
		for _, path := range []string{lab.TrustedStore + "2", lab.TrustedStore + "_x", lab.TrustedStore + "/x"} {
			_, err := pod.Run(t.Context(), at(path))
			require.Error(t, err)
			t.Logf("the user reads: %v", err)
			require.ErrorContains(t, err, "InvalidArgument")
			require.ErrorContains(t, err, fmt.Sprintf("%q; write %s", path, lab.TrustedStore))
			_, err = pod.Run(t.Context(), application)
			require.ErrorContains(t, err, "trusted store", "the application must not start without its store")
		}
		pod.StartContainer(t, at(lab.TrustedStore+"/"))
		pod.StartContainer(t, application)
		require.Contains(t, pod.MustGuest(t).Must(t, "cat /proc/mounts"), proposal.Mapping+" /run/image ")
		require.NoError(t, pod.Remove(t.Context()))
	})

	t.Run("another path", func(t *testing.T) {
		pod := containerd.StartPod(t, lab.PodSpec{Name: "plain", Handler: lab.Tes})
		plain := pod.StartContainer(t, at("/dev/data"))
		guest := pod.MustGuest(t)
		records := guest.Records(t)
		found := slices.IndexFunc(records, func(r lab.Record) bool { return r.Request.ContainerId == plain.ID })
		require.GreaterOrEqual(t, found, 0)
		require.Len(t, records[found].Request.Devices, 1, "Kata hands it over")
		require.Equal(t, "/dev/data", records[found].Request.Devices[0].ContainerPath)
		opened, err := volume.OpenCount()
		require.NoError(t, err)
		require.Positive(t, opened, "the virtual machine has the disk")
		require.NotContains(t, guest.Must(t, "cat /proc/mounts; ls /dev/mapper"), "ephemeral_image_encrypted_disk")
		require.NoError(t, pod.Remove(t.Context()))
	})
}

// imagesInGuest lists what is where images are unpacked; empty for nothing.
func imagesInGuest(t *testing.T, guest lab.Guest) string {
	t.Helper()
	return strings.TrimSpace(guest.Must(t, "ls -A /run/image /run/kata-containers/image 2>/dev/null | grep -v ':$' || true"))
}

// lateLine is the line about the pod's late store in the log of containerd and
// its shims.
func lateLine(t *testing.T, c *lab.Containerd, pod *lab.Pod) string {
	t.Helper()
	text, err := os.ReadFile(c.LogPath())
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "asked for late") && strings.Contains(line, "sandbox="+pod.ID) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// metric is a counter of the node; 0 where nobody has counted.
func metric(t *testing.T, series string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rundir.MetricsPath(rundir.Root), "kata-tes.prom"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			var n int
			_, err := fmt.Sscan(value, &n)
			require.NoError(t, err, line)
			return n
		}
	}
	return 0
}

// awaitMetric waits until a counter, which is written in the background, has
// that value.
func awaitMetric(t *testing.T, series string, want int) {
	t.Helper()
	require.Eventually(t, func() bool { return metric(t, series) == want }, soon, 50*time.Millisecond, "%s is %d", series, want)
}

// configure adds lines to [defaults] of the node's configuration, for the pods
// that start from now on.
func configure(t *testing.T, lines string) {
	t.Helper()
	const path, after = "/etc/kata-tes/config.toml", "[defaults]\n"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	changed := strings.Replace(string(text), after, after+lines, 1)
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
}
