// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/shim/report"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// nodeWithPod is a node's root folder with one sandbox, of the pod shop/web.
func nodeWithPod(t *testing.T, store report.Store) string {
	t.Helper()
	// Short: sockets have short paths.
	root, err := os.MkdirTemp("", "cm")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	require.NoError(t, os.Mkdir(filepath.Join(root, "run"), 0o755))
	runRoot := filepath.Join(root, rundir.Root)
	require.NoError(t, rundir.Create(runRoot, "0123abc", rundir.Sandbox{}))
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := report.Serve(rundir.StatusPath(runRoot, "0123abc"), func(context.Context) report.Sandbox {
		return report.Sandbox{Format: report.Format, ID: "0123abc", Shim: "1.2.3", Namespace: "shop", Pod: "web", Store: store}
	}, logrus.NewEntry(log))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return root
}

func TestStatus(t *testing.T) {
	root := nodeWithPod(t, report.Store{
		State: "ready", Since: time.Now(), Marker: "tes-0123456789abcdef", Guest: &report.Guest{Problem: "the guest does not answer"},
	})
	for _, args := range [][]string{{}, {"web"}, {"shop/web"}, {"0123"}, {"-o", "table"}} {
		code, out, complaints := run(append([]string{"status", "--root", root}, args...)...)
		require.Equal(t, Done, code, complaints)
		require.Regexp(t, `(?m)^SANDBOX +POD +VOLUME +MARKER +STATE +SIZE +USED +PROFILE +AGE$`, out)
		require.Regexp(t, `(?m)^0123abc +shop/web +- +tes-0123456789abcdef +ready +- +- +- +[0-9]+[sm]$`, out)
		require.Contains(t, out, "\n\nshop/web: guest: the guest does not answer\n")
	}

	code, out, _ := run("status", "--root", root, "-o", "json")
	require.Equal(t, Done, code)
	var value struct {
		Sandboxes []map[string]any `json:"sandboxes"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &value))
	require.Len(t, value.Sandboxes, 1)
	require.Equal(t, "ready", value.Sandboxes[0]["state"])
	require.NotContains(t, value.Sandboxes[0], "used_bytes", "nobody told")

	code, out, complaints := run("status", "--root", root, "nobody")
	require.Equal(t, Failed, code)
	require.Empty(t, out)
	require.Contains(t, complaints, `"nobody"`)

	code, out, _ = run("__complete", "status", "--root", root, "")
	require.Equal(t, Done, code)
	require.Contains(t, out, "shop/web\n")
}

func TestStatusOfNothing(t *testing.T) {
	code, out, _ := run("status", "--root", t.TempDir())
	require.Equal(t, Done, code)
	require.Equal(t, "No sandbox of this node runs behind kata-tes.\n", out)
	code, out, _ = run("status", "--root", t.TempDir(), "-o", "json")
	require.Equal(t, Done, code)
	require.JSONEq(t, `{"sandboxes":[]}`, out)
}

func TestDoctor(t *testing.T) {
	code, out, complaints := run("doctor", "--root", t.TempDir())
	require.Equal(t, Failed, code)
	require.Empty(t, complaints, "the findings say it all")
	require.Regexp(t, `(?m)^containerd\n  wrong    configuration +containerd was not found`, out)
	require.Regexp(t, `(?m)^ +→ install containerd`, out)
	require.Regexp(t, `(?m)^[0-9]+ ok, [0-9]+ wrong, [0-9]+ unknown$`, out)

	code, out, _ = run("doctor", "--root", t.TempDir(), "-o", "json")
	require.Equal(t, Failed, code)
	var value struct {
		OK       bool                `json:"ok"`
		Findings []map[string]string `json:"findings"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &value))
	require.False(t, value.OK)
	require.NotEmpty(t, value.Findings)

	code, _, complaints = run("doctor", "--root", "/no/such/folder")
	require.Equal(t, Failed, code)
	require.Contains(t, complaints, "/no/such/folder")
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"status", "a", "b"},
		{"status", "-o", "yaml"},
		{"status", "--no-such-flag"},
		{"doctor", "kata-qemu-tdx"},
		{"doctor", "-o", ""},
		{"doctor", "--runtime"},
	} {
		code, out, complaints := run(args...)
		require.Equal(t, Usage, code, args)
		require.Empty(t, out)
		require.Contains(t, complaints, "See 'kata-tes --help'")
	}
}
