// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/doctor"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/status"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// checkStatus reads what `kata-tes status` and `kata-tes doctor` say of a pod
// whose store is ready, with all parts real.
func checkStatus(t *testing.T, pod *lab.Pod, handler string, volume lab.Volume) {
	rows, err := status.Below("/").Collect(t.Context())
	require.NoError(t, err)
	rows, err = status.Choose(rows, "default/trusted-lvm-block")
	require.NoError(t, err)
	require.Len(t, rows, 1)
	row := rows[0]
	require.Equal(t, pod.ID, row.Sandbox)
	require.Equal(t, "ready", row.State, "%+v", row)
	require.Empty(t, row.Notes())
	require.Regexp(t, "^tes-[0-9a-f]{16}$", row.Marker)
	require.Equal(t, "confidentiality", row.Profile)
	require.Greater(t, *row.SizeBytes, uint64(gib)*9/10)
	require.Less(t, *row.UsedBytes, *row.SizeBytes)
	require.Equal(t, uint64(gib), row.Volume.SizeBytes)
	for _, path := range []string{volume.Path, row.Volume.Path} {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(path, &st))
		require.Equal(t, fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), row.Volume.Number, path)
	}

	findings, err := doctor.Examine(t.Context(), doctor.Options{Root: "/", Version: row.Shim, Runtimes: []string{handler}})
	require.NoError(t, err)
	found := 0
	for _, f := range findings {
		t.Logf("%s: %s: %s: %s", f.Subject, f.Check, f.Outcome, f.Detail)
		if f.Subject == fmt.Sprintf("sandbox %.13s (default/trusted-lvm-block)", pod.ID) {
			require.Equal(t, doctor.OK, f.Outcome, "%+v", f)
			found++
		}
	}
	require.Equal(t, 4, found, "process, monitor, guest and store")
}
