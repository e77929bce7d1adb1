// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
)

var releaseTests = tests{
	"release/overlay": func(a *attempt) {
		d, requireIntact := a.ready()
		a.sweep("umount /tmp/root && rmdir /tmp/root")
		a.sh("mkdir -p /run/image/lower /run/image/upper /run/image/work /tmp/root && " +
			"mount -t overlay overlay -o lowerdir=/run/image/lower,upperdir=/run/image/upper,workdir=/run/image/work /tmp/root && echo kept >/tmp/root/file")
		a.refused(a.tryRelease(d.serial))
		requireIntact()
		require.Equal(a, "kept\n", a.sh("cat /tmp/root/file"))
	},
	"release/open-file": func(a *attempt) {
		d, requireIntact := a.ready()
		a.sweep("kill $(cat /tmp/holder); while [ -e /proc/$(cat /tmp/holder)/exe ]; do sleep 0.05; done; rm /tmp/holder")
		a.sh("setsid sleep 100000 </run/image/witness >/dev/null 2>&1 & echo $! >/tmp/holder")
		a.refused(a.tryRelease(d.serial))
		requireIntact()
	},
	"release/wrong-marker": func(a *attempt) {
		earlier := agentproto.NewMarker()
		first := a.disk(size)
		first.plug(earlier)
		a.mustPrepare(earlier)
		a.mustRelease(earlier)
		first.unplug()
		_, requireIntact := a.ready()
		a.refused(a.tryRelease(earlier))
		a.refused(a.tryRelease(agentproto.NewMarker()))
		requireIntact()
	},
	"release/while-preparing": func(a *attempt) {
		marker := agentproto.NewMarker()
		a.disk(size).plug(marker)
		a.refused(a.during(luksFormat, marker, func() { a.mustRelease(marker) }))
	},
	"release/nothing": func(a *attempt) {
		a.mustRelease(agentproto.NewMarker())
	},
}
