// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/install"
	"github.com/stretchr/testify/require"
)

func run(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	status = Run(context.Background(), "v1", Streams{Out: &stdout, Err: &stderr}, args)
	return status, stdout.String(), stderr.String()
}

// newNode is a small one: containerd, one handler, Kata.
func newNode(t *testing.T) (root, from string) {
	t.Helper()
	root, from = t.TempDir(), t.TempDir()
	put := func(name, content string, mode os.FileMode) {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), mode))
	}
	put(filepath.Join(root, "/etc/containerd/config.toml"), "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n"+
		"  runtime_type = \"io.containerd.kata.v2\"\n  options = { ConfigPath = \"/etc/kata/configuration.toml\" }\n", 0o644)
	put(filepath.Join(root, "/etc/kata/configuration.toml"), "[hypervisor.qemu]\npath = \"/usr/bin/qemu\"\n", 0o644)
	put(filepath.Join(root, "/usr/bin/qemu"), "x", 0o755)
	put(filepath.Join(root, "/usr/bin/containerd-shim-kata-v2"), "x", 0o755)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "/var/lib"), 0o755))
	for _, name := range []string{"containerd-shim-kata-tes-v2", "kata-tes-qemu"} {
		put(filepath.Join(from, name), "x", 0o755)
	}
	return root, from
}

func TestInstallAndUninstall(t *testing.T) {
	root, from := newNode(t)
	status, out, errs := run("install", "--root", root, "--from", from, "--runtime", "kata", "--dry-run")
	require.Equal(t, Done, status, errs)
	require.Contains(t, out, "+++ b/etc/containerd/config.toml\n")
	require.Contains(t, out, "-  runtime_type = \"io.containerd.kata.v2\"\n+  runtime_type = \"io.containerd.kata-tes.v2\"\n")
	require.NoDirExists(t, filepath.Join(root, "/var/lib/kata-tes"))

	status, out, errs = run("install", "--root", root, "--from", from, "--runtime", "kata", "-o", "json")
	require.Equal(t, Done, status, errs)
	var result install.Result
	require.NoError(t, json.Unmarshal([]byte(out), &result))
	require.Len(t, result.Files, 5)
	require.Equal(t, install.Needed, result.Restart)
	require.Equal(t, "/usr/bin/qemu", result.Handlers[0].QEMU)

	status, out, errs = run("install", "--root", root, "--from", from, "--restart", "--restart-command", "true")
	require.Equal(t, Done, status, errs)
	require.Equal(t, "The runtime is installed as asked for; no file has to change.\ncontainerd has been restarted.\n", out)

	status, out, errs = run("uninstall", "--root", root)
	require.Equal(t, Done, status, errs)
	require.Contains(t, out, "kata-tes-qemu   ")
	require.Contains(t, out, "containerd has to be restarted")
	status, out, errs = run("uninstall", "--root", root)
	require.Equal(t, Done, status, errs)
	require.Equal(t, "Nothing is installed; no file has to change.\n", out)
}

func TestWrongUse(t *testing.T) {
	root, from := newNode(t)
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"install", "more"}, Usage, "more"},
		{[]string{"install", "--nope"}, Usage, "nope"},
		{[]string{"install", "-o", "yaml"}, Usage, "table or json"},
		{[]string{"install", "--restart-command", "x"}, Usage, "--restart"},
		{[]string{"uninstall", "--restart", "--restart-command", " "}, Usage, "empty"},
		{[]string{"uninstall", "--runtime", "kata"}, Usage, "runtime"},
		{[]string{"install", "--root", root, "--from", from}, Failed, "--runtime; this node has kata"},
		{[]string{"install", "--root", root, "--from", "/no/such", "--runtime", "kata"}, Failed, "--from"},
		{[]string{"install", "--root", "/no/such", "--from", from, "--runtime", "kata"}, Failed, "/no/such"},
		{[]string{"uninstall", "--root", "/no/such"}, Failed, "/no/such"},
		{[]string{"install", "--root", root, "--from", from, "--runtime", "kata", "--restart", "--restart-command", "false"}, Failed, "as they were before"},
	} {
		status, out, errs := run(test.args...)
		require.Equal(t, test.status, status, test.args)
		require.Contains(t, errs, test.says, test.args)
		require.Empty(t, out, test.args)
	}
	require.NoDirExists(t, filepath.Join(root, "/var/lib/kata-tes"))
}
