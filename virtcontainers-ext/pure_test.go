// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCollect(t *testing.T) {
	var sets []fdset
	require.NoError(t, json.Unmarshal([]byte(`[
		{"fdset-id": 1, "fds": [{"fd": 9, "opaque": "tes-b"}]},
		{"fdset-id": 3, "fds": [{"fd": 11}, {"fd": 12, "opaque": "rdonly:/kata"}]},
		{"fdset-id": 4, "fds": []}]`), &sets))
	got := collect(
		map[string]string{"scsi0": "virtio-scsi-pci", "tes-a": "scsi-hd", "virtio-1": "scsi-hd"},
		[]string{"#block1", "tes-a", "tes-a-file", "tes-c", "drive-1"},
		sets,
	)
	require.Equal(t, []Attachment{
		{Marker: "tes-a", Device: true, Node: true},
		{Marker: "tes-b", FDSets: []int64{1}},
		{Marker: "tes-c", Node: true},
	}, got, "ours and nothing of Kata's, by marker")
	require.Empty(t, collect(nil, nil, nil))
}

func TestPlaceAmong(t *testing.T) {
	for name, c := range map[string]struct {
		devices map[string]string
		want    place
	}{
		"scsi":          {map[string]string{"scsi0": "virtio-scsi-pci", "pci-bridge-0": "pci-bridge"}, scsiPlace},
		"scsi on s390x": {map[string]string{"scsi0": "virtio-scsi-ccw"}, scsiPlace},
		"virtio-blk":    {map[string]string{"pci-bridge-0": "pci-bridge", "rng0": "virtio-rng-pci"}, pciPlace},
		"nothing":       {map[string]string{}, nil},
		"other types":   {map[string]string{"scsi0": "virtio-rng-pci", "pci-bridge-0": "pcie-root-port"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := placeAmong(c.devices)
			require.Equal(t, c.want, got)
			if c.want == nil {
				require.ErrorIs(t, err, ErrNoController)
			}
		})
	}
}

func TestCheckURL(t *testing.T) {
	for _, good := range []string{"vsock://3:1024", "hvsock:///run/vc/vm/x/kata.hvsock:1024", "unix:///run/a.sock"} {
		require.NoError(t, checkURL(good))
	}
	for _, bad := range []string{"", "vsock://", "tcp://h:1", "vsock://3:1024\x00", "vsock://3 :1", "unix://" + strings.Repeat("a", maxURL)} {
		require.Error(t, checkURL(bad), "%q", bad)
	}
}

func TestDeviceDoesNotChangeThePlace(t *testing.T) {
	before := len(scsiPlace)
	require.Equal(t, "tes-a", scsiPlace.device("tes-a")["serial"])
	require.Len(t, scsiPlace, before)
}
