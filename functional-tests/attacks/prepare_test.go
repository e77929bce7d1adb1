// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
)

var prepareTests = tests{
	"prepare/unknown-store": func(a *attempt) {
		for _, store := range []string{"", "other", "../trusted_store", "trusted_store\n", strings.Repeat("s", 10000)} {
			_, err := a.prepare(a.Context(), store, agentproto.NewMarker())
			a.refused(err)
		}
	},
	"prepare/twice": func(a *attempt) {
		d, requireIntact := a.ready()
		first := a.mustPrepare(d.serial)
		require.Equal(a, first.String(), a.mustPrepare(d.serial).String())
		requireIntact()
	},
	"prepare/at-once":    atOnce,
	"prepare/other-disk": otherDisk,
	"prepare/other-disk-meanwhile": func(a *attempt) {
		first, second := a.disk(size), a.disk(size)
		requireUntouched := second.mark()
		marker, other := agentproto.NewMarker(), agentproto.NewMarker()
		first.plug(marker)
		second.plugWith(other, options{elsewhere: true})
		require.NoError(a, a.during(luksFormat, marker, func() { a.refused(a.tryPrepare(other)) }))
		requireUntouched()
		a.requireEmptyStore()
		a.mustRelease(marker)
	},
	"prepare/deadline": func(a *attempt) {
		marker := agentproto.NewMarker()
		a.disk(size).plug(marker)
		a.wrap(cryptsetup, `[ "$1" != luksOpen ] || { $REAL "$@"; sleep 100000; }`)
		a.refused(a.prepareWithin(4*time.Second, marker))
	},
	"prepare/deadline-tiny": func(a *attempt) {
		d := a.disk(size)
		marker := agentproto.NewMarker()
		d.plug(marker)
		d.device() // otherwise it is "not found" that is said
		for _, limit := range []time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond} {
			a.refused(a.prepareOnWire(marker, limit))
		}
	},
	"prepare/deadline-endless": func(a *attempt) {
		a.refused(a.prepareOnWire(agentproto.NewMarker(), math.MaxInt64))
	},
	"prepare/hang-up":     hangUp,
	"prepare/more-fields": moreFields,
}

func atOnce(a *attempt) {
	const many = 8
	marker := agentproto.NewMarker()
	a.disk(size).plug(marker)
	var outcomes [many]func() error
	for i := range outcomes {
		outcomes[i] = a.preparing(marker)
	}
	for _, outcome := range outcomes {
		require.NoError(a, outcome())
	}
	require.Equal(a, "1\n", a.sh("dmsetup ls | wc -l"))
	a.requireEmptyStore()
	a.mustRelease(marker)
}

func otherDisk(a *attempt) {
	_, requireIntact := a.ready()
	second := a.disk(size)
	requireUntouched := second.mark()
	other := agentproto.NewMarker()
	second.plugWith(other, options{elsewhere: true})
	a.refused(a.tryPrepare(other))
	requireUntouched()
	requireIntact()
}

// prepareRequest is Prepare as it goes over the wire.
func (a *attempt) prepareRequest(marker agentproto.Marker) *ttrpc.Request {
	payload := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), agentproto.ImageStore)
	payload = protowire.AppendString(protowire.AppendTag(payload, 2, protowire.BytesType), string(marker))
	return &ttrpc.Request{Service: service, Method: "Prepare", Payload: payload}
}

// prepareOnWire has the guest alone keep the deadline.
func (a *attempt) prepareOnWire(marker agentproto.Marker, limit time.Duration) error {
	w := a.wire()
	request := a.prepareRequest(marker)
	request.TimeoutNano = int64(limit)
	w.request(1, request)
	return w.answer()
}

func hangUp(a *attempt) {
	marker := agentproto.NewMarker()
	a.disk(size).plug(marker)
	a.wrap(cryptsetup, "touch /run/attack/reached; sleep 100000")
	w := a.wire()
	w.request(1, a.prepareRequest(marker))
	a.sh("i=0; while [ ! -e /run/attack/reached ]; do i=$((i+1)); [ $i -lt 1200 ] || exit 1; sleep 0.05; done")
	require.Equal(a, agentv1.State_STATE_PREPARING, a.state(a.T).GetState())
	require.NoError(a, w.Close())
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	require.True(a, waitFor(ctx, func() bool { return a.state(a.T).GetState() == agentv1.State_STATE_ABSENT }), "it goes on without a caller")
}

func moreFields(a *attempt) {
	d := a.disk(size)
	marker := agentproto.NewMarker()
	d.plug(marker)
	request := a.prepareRequest(marker)
	for field, text := range []string{"cipher_null-ecb", "/etc", "noexec", "confidentiality", "/dev/sda"} {
		request.Payload = protowire.AppendString(protowire.AppendTag(request.Payload, protowire.Number(field+3), protowire.BytesType), text)
	}
	w := a.wire()
	w.request(1, request)
	require.NoError(a, w.answer())
	a.requireEmptyStore()
	a.mustRelease(marker)
}
