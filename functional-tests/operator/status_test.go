// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package operator

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// checkStatus asks for the one store of the node in each way, and looks for what
// is counted of it.
func checkStatus(t *testing.T, pod *lab.Pod, volume lab.Volume) {
	const name = "default/trusted-lvm-block"
	for _, args := range [][]string{{}, {name}, {"trusted-lvm-block"}, {pod.ID}, {pod.ID[:12]}} {
		text := must(t, append([]string{"status", "-o", "json"}, args...)...)
		var answer struct {
			Sandboxes []struct {
				Sandbox, Namespace, Pod, Marker, State, Profile string
				Volume                                          struct{ Path string }
				SizeBytes                                       uint64 `json:"size_bytes"`
				UsedBytes                                       uint64 `json:"used_bytes"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(text), &answer))
		require.Len(t, answer.Sandboxes, 1)
		s := answer.Sandboxes[0]
		require.Equal(t, pod.ID, s.Sandbox)
		require.Equal(t, name, s.Namespace+"/"+s.Pod)
		require.Equal(t, "ready", s.State)
		require.Equal(t, "confidentiality", s.Profile)
		_, err := agentproto.ParseMarker(s.Marker)
		require.NoError(t, err)
		require.Equal(t, number(t, volume.Path), number(t, s.Volume.Path))
		require.InDelta(t, gib, s.SizeBytes, gib/10)
		require.Positive(t, s.UsedBytes, "the images are on it")
		require.Less(t, s.UsedBytes, s.SizeBytes)
	}
	require.Regexp(t, name+` .*ready`, must(t, "status"))

	counted, err := os.ReadFile(filepath.Join(rundir.MetricsPath(rundir.Root), "kata-tes.prom"))
	require.NoError(t, err)
	require.Contains(t, string(counted), "\nkata_tes_stores_prepared_total 1\n")
}

// number is what a device is, whatever it is called: a logical volume has several
// names.
func number(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
}
