// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

var pullTests = tests{
	"pull/during": duringPull,
	"pull/after": func(a *attempt) {
		c, err := a.pod.Run(a.Context(), lab.ContainerSpec{Name: "application"})
		require.NoError(a, err)
		a.offered()()
		a.requireRuns(c)
	},
}

// largeImage takes the guest seconds to pull and unpack.
const largeImage = "docker.io/library/large-32:latest"

func duringPull(a *attempt) {
	a.occupied = true
	a.containerd.AddImage(a, largeImage)
	ask := a.offered()
	type outcome struct {
		container *lab.Container
		err       error
	}
	started := make(chan outcome, 1)
	go func() {
		c, err := a.pod.Run(a.Context(), lab.ContainerSpec{Name: "large", Image: largeImage})
		started <- outcome{c, err}
	}()
	a.sh("i=0; while [ -z \"$(ls -A /run/kata-containers/image 2>/dev/null)\" ]; do i=$((i+1)); [ $i -lt 2400 ] || exit 1; sleep 0.05; done")
	ask()
	select {
	case o := <-started:
		require.NoError(a, o.err)
		a.Fatal("the pull had ended before the guest was asked, so this shows nothing")
	default:
	}
	o := <-started
	require.NoError(a, o.err)
	a.requireRuns(o.container)
}

// offered attaches a disk; ask asks for a store over the images.
func (a *attempt) offered() (ask func()) {
	d := a.disk(size)
	requireUntouched := d.mark()
	marker := agentproto.NewMarker()
	d.plug(marker)
	return func() {
		a.Helper()
		err := a.tryPrepare(marker)
		a.refused(err)
		require.Equal(a, agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED, reasonOf(err))
		requireUntouched()
	}
}

// requireRuns: the container is alive and sees its own files.
func (a *attempt) requireRuns(c *lab.Container) {
	a.Helper()
	answer, err := c.Exec(a.Context(), "cat", "/bin/busybox")
	require.NoError(a, err)
	require.NotEmpty(a, answer.GetStdout())
}
