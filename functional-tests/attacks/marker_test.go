// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
)

var markerTests = tests{
	"marker/none": func(a *attempt) { a.refused(a.tryPrepare(agentproto.NewMarker())) },
	"marker/wrong": func(a *attempt) {
		d := a.disk(size)
		requireUntouched := d.mark()
		d.plug(agentproto.NewMarker())
		a.refused(a.tryPrepare(agentproto.NewMarker()))
		requireUntouched()
	},
	"marker/late":               late,
	"marker/duplicate":          duplicate,
	"marker/duplicate-later":    duplicateLater,
	"marker/replaced":           replaced,
	"marker/replaced-in-use":    replacedInUse,
	"marker/replaced-meanwhile": replacedMeanwhile,
	"marker/empty":              malformed(""),
	"marker/long":               malformed("tes-" + strings.Repeat("0", 10000)),
	"marker/path":               malformed("../../etc/passwd", "tes-0/../../../sda0", "/dev/sda", "tes-................", "tes-*"),
	"marker/characters": malformed("tes-0123456789abcde\n", "tes-0123456789abcdef\n", "tes-0123456789ABCDEF", " tes-0123456789abcdef",
		"tes-\x000123456789abcde", "--header=/dev/sda", "tes-0123456789abcdé", "$(reboot)", "%s%s%s%s%n"),
}

func malformed(markers ...string) func(a *attempt) {
	return func(a *attempt) {
		for _, m := range markers {
			a.refused(a.tryPrepare(agentproto.Marker(m)))
			a.refused(a.tryRelease(agentproto.Marker(m)))
		}
	}
}

func late(a *attempt) {
	marker := agentproto.NewMarker()
	outcome := a.preparing(marker)
	require.Eventually(a, func() bool { return a.state(a.T).GetState() == agentv1.State_STATE_PREPARING }, patience, poll)
	a.disk(size).plug(marker)
	require.NoError(a, outcome())
	a.requireEmptyStore()
	a.mustRelease(marker)
}

func duplicate(a *attempt) {
	marker := agentproto.NewMarker()
	first, second := a.disk(size), a.disk(size)
	firstUntouched, secondUntouched := first.mark(), second.mark()
	first.plug(marker)
	first.device()
	second.plugWith(marker, options{elsewhere: true})
	a.requireDisks(marker, 2)
	a.refused(a.tryPrepare(marker))
	firstUntouched()
	secondUntouched()
}

// requireDisks waits until the guest has so many with the marker.
func (a *attempt) requireDisks(marker agentproto.Marker, count int) {
	require.Eventually(a, func() bool {
		return strings.TrimSpace(a.sh("grep -l "+string(marker)+" /sys/block/sd*/device/vpd_pg80 | wc -l")) == fmt.Sprint(count)
	}, patience, poll)
}

func duplicateLater(a *attempt) {
	marker := agentproto.NewMarker()
	first, second := a.disk(size), a.disk(size)
	requireUntouched := second.mark()
	first.plug(marker)
	require.NoError(a, a.during(mkfs, marker, func() {
		second.plugWith(marker, options{elsewhere: true})
		a.requireDisks(marker, 2)
	}))
	a.sh("echo something >/run/image/file; sync")
	a.mustRelease(marker)
	requireUntouched()
}

// replaced gives the guest, under the same marker, a copy of what it made
// itself: the most that a host can have.
func replaced(a *attempt) {
	marker := agentproto.NewMarker()
	first := a.disk(size)
	first.plug(marker)
	a.mustPrepare(marker)
	a.sh("echo old >/run/image/old; sync")
	const key = "dmsetup table --showkeys " + mapping + " | cut -d ' ' -f 5 | md5sum"
	old := a.sh(key)
	second := a.disk(size)
	a.host("cp", "--sparse=always", first.path, second.path)
	a.mustRelease(marker)
	first.unplug()
	second.plug(marker)
	a.mustPrepare(marker)
	a.requireEmptyStore()
	require.NotEqual(a, old, a.sh(key), "the same key again")
	a.mustRelease(marker)
}

func replacedInUse(a *attempt) {
	first, _ := a.ready()
	second := a.disk(size)
	requireUntouched := second.mark()
	first.unplug()
	second.plug(first.serial)
	second.device()
	// The store is still the one that was made, so that asking again succeeds.
	require.NoError(a, a.tryPrepare(first.serial))
	a.sh("echo lost >/run/image/lost; sync; true")
	requireUntouched()
}

func replacedMeanwhile(a *attempt) {
	first, second := a.disk(size), a.disk(size)
	requireUntouched := second.mark()
	marker := agentproto.NewMarker()
	first.plug(marker)
	a.refused(a.during(luksFormat, marker, func() {
		first.unplug()
		second.plug(marker)
		second.device()
	}))
	requireUntouched()
}
