// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package create_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/stretchr/testify/require"
)

// stepLine is what our shim logs of a step.
var stepLine = regexp.MustCompile(`msg="a step of the trusted store is done".* step=("[^"]+"|[a-z]+) .*took="?([0-9.]+[a-zµ]+)"?`)

// BenchmarkCreate prints how long each step of Create took in one pod, beside
// the container that asks for no store.
func BenchmarkCreate(b *testing.B) {
	containerd := lab.StartContainerd(b, lab.Containerd2)
	volume := lab.NewVolumeGroup(b, "open-local-pool-0", 1<<30).Create(b, "store", 1<<30)
	for range b.N {
		pod := containerd.StartPod(b, lab.PodSpec{Name: "bench", Handler: lab.Tes})
		with := measure(b, pod, lab.ContainerSpec{Name: "with-store", Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}}})
		without := measure(b, pod, lab.ContainerSpec{Name: "without"})

		log, err := os.ReadFile(containerd.LogPath())
		require.NoError(b, err)
		steps := stepLine.FindAllSubmatch(log, -1)
		require.NotEmpty(b, steps, "our shim's log has the steps")
		fmt.Println("steps of the trusted store in Create (1 GiB, nested emulation)")
		for _, step := range steps {
			took, err := time.ParseDuration(string(step[2]))
			require.NoError(b, err)
			fmt.Printf("  %-24s %8.0f ms\n", strings.Trim(string(step[1]), `"`), float64(took)/1e6)
		}
		fmt.Printf("creating and starting a container: with the store %.1f s, one without %.1f s\n", with.Seconds(), without.Seconds())
	}
}

func measure(b *testing.B, pod *lab.Pod, spec lab.ContainerSpec) time.Duration {
	began := time.Now()
	pod.StartContainer(b, spec)
	return time.Since(began)
}
