// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// runMetrics is a command line of `kata-tes metrics`.
func runMetrics(t *testing.T, args ...string) (status int, out, problem string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = Run(t.Context(), "test", Streams{Out: &stdout, Err: &stderr}, append([]string{"metrics"}, args...))
	return status, stdout.String(), stderr.String()
}

func TestMetrics(t *testing.T) {
	root := t.TempDir()
	runRoot := filepath.Join(root, rundir.Root)
	require.NoError(t, os.Mkdir(filepath.Join(root, "run"), 0o755))
	status, out, problem := runMetrics(t, "--root", root)
	require.Equal(t, Failed, status)
	require.Empty(t, out)
	require.Contains(t, problem, "no metrics on this node")
	require.Contains(t, problem, root)
	require.NoDirExists(t, runRoot, "it only looks")

	n := metrics.Open(runRoot, logrus.NewEntry(logrus.New()))
	n.Add(metrics.StoresRefused, "in_use")
	n.Observe(metrics.StepDuration, "attach", time.Second)
	n.Observe(metrics.StepDuration, "attach", 2*time.Second)
	n.Close()
	path := filepath.Join(rundir.MetricsPath(runRoot), metrics.FileName)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	status, out, problem = runMetrics(t, "--root", root)
	require.Equal(t, Done, status, problem)
	calls, err := os.ReadFile(filepath.Join(rundir.MetricsPath(runRoot), metrics.CallsFileName))
	require.NoError(t, err)
	require.Equal(t, string(content)+string(calls), out)

	status, out, problem = runMetrics(t, "--root", root, "-o", "table")
	require.Equal(t, Done, status, problem)
	require.Regexp(t, `(?m)^kata_tes_stores_refused_total +reason="in_use" +1 *$`, out)
	require.Regexp(t, `(?m)^kata_tes_preparation_step_duration_seconds +step="attach" +2 +1.500s$`, out)
	require.Regexp(t, `(?m)^kata_tes_preparation_duration_seconds +0 *$`, out)

	status, out, problem = runMetrics(t, "--root", root, "-o", "json")
	require.Equal(t, Done, status, problem)
	var values []metrics.Value
	require.NoError(t, json.Unmarshal([]byte(out), &values))
	three := 3.0
	require.Contains(t, values, metrics.Value{Metric: "kata_tes_preparation_step_duration_seconds", Label: `step="attach"`, Count: 2, Seconds: &three})

	for _, wrong := range [][]string{{"-o", "yaml"}, {"something"}, {"--what"}} {
		status, out, problem = runMetrics(t, append([]string{"--root", root}, wrong...)...)
		require.Equal(t, Usage, status)
		require.Empty(t, out)
		require.NotEmpty(t, problem)
	}

	require.NoError(t, os.WriteFile(path, []byte("no metrics at all"), 0o600))
	status, out, problem = runMetrics(t, "--root", root)
	require.Equal(t, Failed, status)
	require.Empty(t, out)
	require.Contains(t, problem, "not a file of kata-tes metrics")
	require.Contains(t, problem, path)
}
