// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package load_test

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	mib = 1 << 20
	// size of a volume in these tests: its contents don't matter.
	size = 256 * mib
)

var application = lab.ContainerSpec{Name: "application", Command: []string{"sh", "-c", "sleep 10000"}}

func sidecar(volume lab.Volume) lab.ContainerSpec {
	return lab.ContainerSpec{
		Name:    "sidecar-trusted-store",
		Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}},
	}
}

// life is a pod's from its volume to the volume's end; look is called while it
// runs. Its error says how far it came.
func life(ctx context.Context, containerd *lab.Containerd, group *lab.VolumeGroup, name string, look func(*lab.Pod) error) (err error) {
	volume, err := group.Make(name, size)
	if err != nil {
		return err
	}
	pod, err := containerd.RunPod(ctx, lab.PodSpec{Name: name, Handler: lab.Tes})
	if err != nil {
		return err
	}
	for _, spec := range []lab.ContainerSpec{sidecar(volume), application} {
		if _, err := pod.Run(ctx, spec); err != nil {
			return err
		}
	}
	guest, err := pod.Guest()
	if err != nil {
		return err
	}
	if output, status, err := guest.Run(ctx, "grep -q ephemeral_image_encrypted_disk.*/run/image /proc/mounts"); err != nil || status != 0 {
		return fmt.Errorf("pod %s has no store mounted: %q, %w", name, output, err)
	}
	if err := look(pod); err != nil {
		return err
	}
	if err := pod.Remove(ctx); err != nil {
		return err
	}
	// At once: nobody holds the volume of a pod that is gone.
	return volume.Remove()
}

// private says whether all that we have of a running pod is for root alone.
func private(pod *lab.Pod) error {
	found := 0
	err := filepath.WalkDir(filepath.Join(rundir.Root, pod.ID), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s has mode %s", path, info.Mode())
		}
		found++
		return err
	})
	if err == nil && found < 4 {
		err = fmt.Errorf("sandbox %s has %d files instead of a folder, a description, a monitor and a status socket", pod.ID, found)
	}
	return err
}

func TestFourPodsAtOnce(t *testing.T) {
	const many = 4
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	group := lab.NewVolumeGroup(t, "open-local-pool-0", many*size)
	errs := make([]error, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			errs[i] = life(t.Context(), containerd, group, fmt.Sprintf("at-once-%d", i), private)
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}
