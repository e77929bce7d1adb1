// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package load_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// slowly puts a program of the guest behind one that tells of its start and
// takes its time, so that the test can act in between. It keeps its name, by
// which mkfs.ext4 goes.
func slowly(t *testing.T, guest lab.Guest, program string) {
	guest.Must(t, fmt.Sprintf(`mkdir -p /real && mv %[1]s /real && printf "#!/bin/sh\ntouch /run/reached\nsleep 3\nexec /real/%[2]s \"\$@\"\n" >%[1]s && chmod 755 %[1]s`,
		program, filepath.Base(program)))
}

// reached waits until the guest runs the slow program.
func reached(t *testing.T, guest lab.Guest) {
	require.Eventually(t, func() bool {
		_, status, err := guest.Run(t.Context(), "test -e /run/reached")
		return err == nil && status == 0
	}, time.Minute, 50*time.Millisecond)
}

// TestStoppedAtAnyMoment stops and removes the pod while its store is being
// prepared: in the guest's steps one after the other, and at moments after the
// call that nobody chose.
func TestStoppedAtAnyMoment(t *testing.T) {
	containerd := lab.StartContainerd(t, lab.Containerd2)
	group := lab.NewVolumeGroup(t, "open-local-pool-0", size)

	type moment struct {
		name    string
		arrange func(t *testing.T, guest lab.Guest) (await func())
	}
	var moments []moment
	for _, program := range []string{"/usr/sbin/cryptsetup", "/usr/sbin/mkfs.ext4"} {
		moments = append(moments, moment{"in " + program, func(t *testing.T, guest lab.Guest) func() {
			slowly(t, guest, program)
			return func() { reached(t, guest) }
		}})
	}
	for _, delay := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		moments = append(moments, moment{"after " + delay.String(), func(*testing.T, lab.Guest) func() {
			// Not a wait for something: the moment itself is what varies.
			return func() { time.Sleep(delay) }
		}})
	}
	for _, moment := range moments {
		t.Run(moment.name, func(t *testing.T) {
			lab.NothingLeft(t)
			lab.KeepConsoles(t)
			volume := group.Create(t, "store", size)
			pod := containerd.StartPod(t, lab.PodSpec{Name: "stopped", Handler: lab.Tes})
			await := moment.arrange(t, pod.MustGuest(t))
			created, err := pod.Create(t.Context(), sidecar(volume))
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- created.Start(t.Context()) }()
			await()
			require.NoError(t, pod.Stop(t.Context()))
			// Started a moment before, or refused: both are an end.
			t.Logf("the container's start ended with: %v", <-ended)
			require.NoError(t, pod.Remove(t.Context()))
			lab.ForgetBundle(t, created)
			// That nobody holds the volume is seen when it is removed.
		})
	}
}

// TestOthersWorkWhileTheStoreIsPrepared: a container that runs already answers
// while the Create of another is held back.
func TestOthersWorkWhileTheStoreIsPrepared(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", size).Create(t, "store", size)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "busy", Handler: lab.Tes})
	app := pod.StartContainer(t, application)
	guest := pod.MustGuest(t)
	// The shim has claimed the volume and waits for a guest that says nothing.
	guest.Must(t, "killall -STOP kata-tes-agent")

	created, err := pod.Create(t.Context(), sidecar(volume))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- created.Start(t.Context()) }()
	require.Eventually(t, func() bool {
		free, err := volume.ExclusivelyFree()
		return err == nil && !free
	}, time.Minute, 20*time.Millisecond, "the volume is claimed")
	answer, err := app.Exec(t.Context(), "echo", "at work")
	require.NoError(t, err)
	require.Equal(t, "at work\n", string(answer.Stdout))
	select {
	case err := <-ended:
		t.Fatalf("the store was ready or refused before the command had run, so this shows nothing: %v", err)
	default:
	}
	guest.Must(t, "killall -CONT kata-tes-agent")
	// Whether a store that comes this late is accepted is another test's.
	t.Logf("the store's container: %v", <-ended)
}
