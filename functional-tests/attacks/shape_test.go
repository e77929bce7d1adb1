// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"os"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
)

var shapeTests = tests{
	"shape/read-only": unfit(size, options{readOnly: true}),
	"shape/empty":     unfit(0, options{}),
	"shape/tiny":      unfit(16*mib, options{}),
	"shape/errors":    unfit(size, options{failWrites: true}),
	"shape/huge":      huge,
	"shape/shrunk": func(a *attempt) {
		d := a.disk(size)
		marker := agentproto.NewMarker()
		d.plug(marker)
		d.resize(32 * mib)
		a.refused(a.tryPrepare(marker))
	},
	"shape/shrinks": func(a *attempt) {
		d := a.disk(size)
		marker := agentproto.NewMarker()
		d.plug(marker)
		a.refused(a.during(luksOpen, marker, func() { d.resize(72 * mib) }))
	},
	"shape/shrinks-in-use": func(a *attempt) {
		d, _ := a.ready()
		d.resize(32 * mib)
		a.sh("dmesg -c >/dev/null; dd if=/dev/zero of=/run/image/large bs=1M count=40 2>/dev/null; sync; true")
		a.requireDiskErrors()
	},
	"shape/vanishes":      vanishing(luksFormat),
	"shape/vanishes-late": vanishing(mkfs),
	"shape/vanishes-in-use": func(a *attempt) {
		d, _ := a.ready()
		a.sh("dmesg -c >/dev/null")
		d.unplug()
		a.sh("dd if=/dev/zero of=/run/image/large bs=1M count=8 2>/dev/null; sync; true")
		a.requireDiskErrors()
	},
}

func unfit(size int64, o options) func(a *attempt) {
	return func(a *attempt) {
		marker := agentproto.NewMarker()
		a.disk(size).plugWith(marker, o)
		a.refused(a.tryPrepare(marker))
	}
}

// requireDiskErrors: the guest has seen what the host did. (The store is released
// when the test ends.)
func (a *attempt) requireDiskErrors() {
	a.sh(`dmesg | grep -q -i -e "I/O error" -e "Buffer I/O" -e "EXT4-fs error" -e "EXT4-fs warning"`)
}

func vanishing(step string) func(a *attempt) {
	return func(a *attempt) {
		d := a.disk(size)
		marker := agentproto.NewMarker()
		d.plug(marker)
		a.refused(a.during(step, marker, d.unplug))
	}
}

func huge(a *attempt) {
	const tib = 1 << 40
	d := a.disk(tib)
	marker := agentproto.NewMarker()
	d.plug(marker)
	answer := a.mustPrepare(marker)
	require.Equal(a, uint64(tib-dataAt), answer.GetSizeBytes())
	a.requireEmptyStore()
	a.mustRelease(marker)
	info, err := os.Stat(d.path)
	require.NoError(a, err)
	require.Less(a, info.Sys().(*syscall.Stat_t).Blocks*512, int64(256*mib), "bytes that were written")
}
