// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// TestAPreparationIsMeasured: each step that succeeds, the guest's own as well,
// the whole, and the bytes; of a failed one what succeeded, and its undoing.
func TestAPreparationIsMeasured(t *testing.T) {
	s, r, _ := newStore(t)
	root := filepath.Join(t.TempDir(), "run")
	log, hook := logtest.NewNullLogger()
	s.Metrics = metrics.Open(root, logrus.NewEntry(log))
	require.NoError(t, os.Truncate(r.file, 5<<20))
	r.answer("attach", func(context.Context) error { return errors.New("no") })
	require.Error(t, s.Ensure(t.Context(), disk, "sidecar"))
	r.answer("attach", nil)
	require.NoError(t, s.Ensure(t.Context(), disk, "sidecar"))
	require.NoError(t, s.Close())
	s.Metrics.Close()
	require.Empty(t, hook.AllEntries())

	text, err := os.ReadFile(filepath.Join(rundir.MetricsPath(root), metrics.FileName))
	require.NoError(t, err)
	for series, want := range map[string]string{
		`kata_tes_stores_prepared_total`:                                   "1",
		`kata_tes_stores_prepared_bytes_total`:                             "5242880",
		`kata_tes_preparation_duration_seconds_count`:                      "1",
		`kata_tes_preparation_duration_seconds_bucket{le="+Inf"}`:          "1",
		`kata_tes_preparation_step_duration_seconds_count{step="open"}`:    "2",
		`kata_tes_preparation_step_duration_seconds_count{step="find"}`:    "2",
		`kata_tes_preparation_step_duration_seconds_count{step="version"}`: "2",
		`kata_tes_preparation_step_duration_seconds_count{step="attach"}`:  "1",
		`kata_tes_preparation_step_duration_seconds_count{step="prepare"}`: "1",
		`kata_tes_preparation_step_duration_seconds_count{step="undo"}`:    "1",
		`kata_tes_guest_step_duration_seconds_count{step="mkfs"}`:          "1",
		`kata_tes_guest_step_duration_seconds_count{step="open"}`:          "0",
	} {
		require.Contains(t, string(text), "\n"+series+" "+want+"\n")
	}
}
