// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func runCommand(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = Run(ctx, "v1.2.3", Streams{Out: &out, Err: &errs}, args)
	return status, out.String(), errs.String()
}

func TestWaitEndsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, stdout, stderr := runCommand(ctx, "wait")
	require.Equal(t, Done, status)
	require.Empty(t, stdout+stderr)
}

func TestCommandsOfTheChartsPods(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, c := range []struct {
		name   string
		node   string
		args   []string
		status int
		want   string
	}{
		{"wait takes no argument", "n", []string{"wait", "long"}, Usage, "takes no argument"},
		{"wait: no node", "", []string{"wait", "--label", "a/b"}, Usage, "NODE_NAME is not set"},
		{"wait: no pod", "n", []string{"wait", "--label", "a/b"}, Failed, "no pod of Kubernetes"},
		{"unlabel: which", "n", []string{"unlabel"}, Usage, "one label"},
		{"unlabel: no pod", "n", []string{"unlabel", "a/b"}, Failed, "no pod of Kubernetes"},
		{"rollout: which", "n", []string{"rollout"}, Usage, "one DaemonSet"},
		{"rollout: no patch", "n", []string{"rollout", "ds"}, Usage, "no JSON"},
		{"rollout: broken patch", "n", []string{"rollout", "ds", "--patch", "{"}, Usage, "no JSON"},
		{"rollout: no time", "n", []string{"rollout", "ds", "--patch", "{}", "--timeout", "0s"}, Usage, "--timeout"},
		{"rollout: no pod", "n", []string{"rollout", "ds", "--patch", "{}"}, Failed, "no pod of Kubernetes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(nodeName, c.node)
			status, stdout, stderr := runCommand(t.Context(), c.args...)
			require.Equal(t, c.status, status, stderr)
			require.Contains(t, stderr, c.want)
			require.Empty(t, stdout)
		})
	}
}
