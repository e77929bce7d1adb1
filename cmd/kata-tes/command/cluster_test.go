// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"errors"
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

// labels notes what the node is labelled with instead of asking the API server.
func labels(t *testing.T) *[]string {
	t.Helper()
	before := setNodeLabel
	t.Cleanup(func() { setNodeLabel = before })
	var done []string
	setNodeLabel = func(_ context.Context, key string, value *string) error {
		if value == nil {
			done = append(done, "-"+key)
		} else {
			done = append(done, key+"="+*value)
		}
		return nil
	}
	return &done
}

func TestLabels(t *testing.T) {
	done := labels(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, _, stderr := runCommand(ctx, "wait", "--label=a/b")
	require.Equal(t, Done, status, stderr)
	require.Equal(t, []string{"a/b=true"}, *done)

	status, _, stderr = runCommand(t.Context(), "unlabel", "a/b")
	require.Equal(t, Done, status, stderr)
	require.Equal(t, []string{"a/b=true", "-a/b"}, *done)
}

func TestUnlabelCarriesOutTheCommandAfterIt(t *testing.T) {
	done := labels(t)
	status, stdout, stderr := runCommand(t.Context(), "unlabel", "a/b", "--version")
	require.Equal(t, Done, status, stderr)
	require.Equal(t, "kata-tes version v1.2.3\n", stdout)
	status, _, stderr = runCommand(t.Context(), "unlabel", "a/b", "rollout", "x", "--patch=no")
	require.Equal(t, Usage, status)
	require.Contains(t, stderr, "--patch is no JSON")
	require.Equal(t, []string{"-a/b", "-a/b"}, *done)

	setNodeLabel = func(context.Context, string, *string) error { return errors.New("the API server is away") }
	status, stdout, stderr = runCommand(t.Context(), "unlabel", "a/b", "--version")
	require.Equal(t, Failed, status)
	require.Equal(t, "kata-tes: the API server is away\n", stderr)
	require.Empty(t, stdout, "a node that still is labelled is not taken out")
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
		{"unlabel: which", "n", []string{"unlabel"}, Usage, "the name of a label"},
		{"unlabel: no pod", "n", []string{"unlabel", "a/b"}, Failed, "no pod of Kubernetes"},
		{"unlabel: the rest is the other command's", "n", []string{"unlabel", "a/b", "wait", "--unknown"}, Failed, "no pod of Kubernetes"},
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
