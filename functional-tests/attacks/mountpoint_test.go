// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
)

var mountpointTests = tests{
	"mountpoint/occupied": spoiled("mkdir -p /run/image/layers && echo kept >/run/image/layers/file", "rm -r /run/image/layers",
		"cat /run/image/layers/file"),
	"mountpoint/occupied-late": occupiedLate,
	"mountpoint/symlink": spoiled("mkdir -p /run/image && rmdir /run/image && ln -s /etc /run/image", "rm /run/image",
		"! grep -q mapper /proc/self/mountinfo && echo kept"),
	"mountpoint/symlink-above": spoiled("mkdir -p /run/kata-containers && mv /run/kata-containers /run/moved && ln -s moved /run/kata-containers",
		"rm /run/kata-containers && mv /run/moved /run/kata-containers", "! grep -q mapper /proc/self/mountinfo && echo kept"),
	"mountpoint/mounted": spoiled("mkdir -p /run/image && mount -t tmpfs tmpfs /run/image && mkdir /run/image/image && echo kept >/run/image/image/file",
		"umount /run/image", "cat /run/image/image/file"),
	"mountpoint/file": spoiled("mkdir -p /run/image && rmdir /run/image && echo kept >/run/image", "rm /run/image", "cat /run/image"),
}

// spoiled makes a mount point unfit in the guest. No disk is touched then.
func spoiled(spoil, mend, kept string) func(a *attempt) {
	return func(a *attempt) {
		d := a.disk(size)
		requireUntouched := d.mark()
		marker := agentproto.NewMarker()
		d.plug(marker)
		a.sweep(mend)
		a.sh(spoil)
		err := a.tryPrepare(marker)
		a.refused(err)
		require.Equal(a, agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED, reasonOf(err))
		require.Contains(a, a.sh(kept), "kept")
		requireUntouched()
	}
}

func occupiedLate(a *attempt) {
	marker := agentproto.NewMarker()
	a.disk(size).plug(marker)
	a.sweep("rm -r /run/kata-containers/image/layers")
	err := a.during(mkfs, marker, func() {
		a.sh("mkdir -p /run/kata-containers/image/layers && echo kept >/run/kata-containers/image/layers/file")
	})
	a.refused(err)
	require.Equal(a, agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED, reasonOf(err))
	require.Equal(a, "kept\n", a.sh("cat /run/kata-containers/image/layers/file"))
}
