// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package memory_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// result is one line for cmd/memory-report.
type result struct {
	// ImageMiB is the image's size, unpacked.
	ImageMiB int `json:"image_mib"`
	Store    bool
	// Fits says whether the container ran.
	Fits bool
	// Memory of the guest in MiB: all of it, what was in use before the
	// image was pulled, and what was while its container ran.
	Total, Before, With int
}

// BenchmarkMemory measures each image in a pod of its own.
func BenchmarkMemory(b *testing.B) {
	containerd := lab.StartContainerd(b, lab.Containerd2)
	sizes := []int{32, 64, 128, 256}
	for _, size := range sizes {
		containerd.AddImage(b, image(size))
	}
	volume := lab.NewVolumeGroup(b, "open-local-pool-0", 1<<30).Create(b, "store", 1<<30)
	for range b.N {
		for _, store := range []bool{false, true} {
			for _, size := range sizes {
				line, err := json.Marshal(measure(b, containerd, volume, size, store))
				require.NoError(b, err)
				fmt.Printf("memory-result %s\n", line)
			}
		}
	}
}

func image(size int) string { return fmt.Sprintf("docker.io/library/large-%d:latest", size) }

func measure(b *testing.B, containerd *lab.Containerd, volume lab.Volume, size int, store bool) result {
	pod := containerd.StartPod(b, lab.PodSpec{Name: fmt.Sprintf("memory-%d-%t", size, store), Handler: lab.Tes})
	guest := pod.MustGuest(b)
	if store {
		pod.StartContainer(b, lab.ContainerSpec{
			Name: "sidecar-trusted-store", Image: "docker.io/library/pause:latest", Command: []string{"/pause"},
			Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}},
		})
	} else {
		pod.StartContainer(b, lab.ContainerSpec{Name: "first", Image: "docker.io/library/pause:latest", Command: []string{"/pause"}})
	}
	r := result{ImageMiB: size, Store: store}
	r.Total, r.Before = memory(b, guest)
	_, err := pod.Run(b.Context(), lab.ContainerSpec{Name: "large", Image: image(size)})
	switch {
	case err == nil:
		r.Fits = true
		_, r.With = memory(b, guest)
	case !store && strings.Contains(err.Error(), "no space left on device"):
	default:
		require.NoError(b, err)
	}
	require.NoError(b, pod.Remove(b.Context()))
	return r
}

// memory is the guest's in MiB, all of it and what is in use: MemTotal less
// MemAvailable. Files in memory (tmpfs) and the kernel's own count as in use;
// what is cached of a disk does not, because the kernel gives it up for whoever
// needs the memory.
func memory(b *testing.B, guest lab.Guest) (total, used int) {
	var available int
	output := guest.Must(b, `sync; awk "/^MemTotal:|^MemAvailable:/ {print \$2}" /proc/meminfo`)
	_, err := fmt.Sscan(output, &total, &available)
	require.NoError(b, err)
	return total >> 10, (total - available) >> 10
}
