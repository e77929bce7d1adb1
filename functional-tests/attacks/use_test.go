// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
)

var useTests = tests{
	"use/mounted":           inUse(mountThere, "umount /tmp/used && rmdir /tmp/used", "cat /tmp/used/file"),
	"use/mounted-elsewhere": inUse(mountElsewhere, endElsewhere, "cat /proc/$(cat /tmp/holder)/root/tmp/used/file"),
	"use/mapped": inUse(`dmsetup create used --table "0 2048 linear %[1]s 0"; echo kept >/dev/mapper/used; sync`,
		"dmsetup remove used", "head -c 4 /dev/mapper/used"),
	"use/swap": inUse("mkswap %[1]s && swapon %[1]s", `swapoff $(tail -n 1 /proc/swaps | cut -d " " -f 1)`,
		"tail -n 1 /proc/swaps | grep -q ^/dev/sd && echo kept"),
}

const (
	mountThere = "mkfs.ext4 -q -F %[1]s && mkdir /tmp/used && mount %[1]s /tmp/used && echo kept >/tmp/used/file && sync"
	// The mount is seen in a namespace of its own only, as a container's are.
	mountElsewhere = `mkfs.ext4 -q -F %[1]s && mkdir /tmp/used && cat >/tmp/holding <<"END"
mount --make-rprivate / && mount %[1]s /tmp/used && echo kept >/tmp/used/file && sync && echo $$ >/tmp/holder && exec sleep 100000
END
setsid unshare -m sh /tmp/holding >/dev/null 2>&1 &
while [ ! -s /tmp/holder ]; do sleep 0.05; done; rm /tmp/holding`
	endElsewhere = `kill $(cat /tmp/holder); while [ -e /proc/$(cat /tmp/holder)/exe ]; do sleep 0.05; done; rm /tmp/holder; rmdir /tmp/used`
)

// inUse puts a disk to use in the guest, and then names it as the store.
func inUse(use, end, kept string) func(a *attempt) {
	const noUdev = "export DM_DISABLE_UDEV=1; "
	return func(a *attempt) {
		d := a.disk(size)
		marker := agentproto.NewMarker()
		d.plug(marker)
		device := d.device()
		a.sweep(noUdev + end)
		a.sh(noUdev + fmt.Sprintf(use, device))
		a.refused(a.tryPrepare(marker))
		a.sh("echo 3 >/proc/sys/vm/drop_caches")
		require.Contains(a, a.sh(kept), "kept")
	}
}
