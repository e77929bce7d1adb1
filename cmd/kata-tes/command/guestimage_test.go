// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage"
	"github.com/stretchr/testify/require"
)

func runImage(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = Run(t.Context(), "test", Streams{Out: &stdout, Err: &stderr}, append([]string{"guest-image"}, args...))
	return status, stdout.String(), stderr.String()
}

func TestGuestImageUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		words string
	}{
		"nothing":              {nil, "--in"},
		"no output":            {[]string{"--in", "x"}, "--out"},
		"both":                 {[]string{"--in", "x", "--out", "y", "--in-place"}, "exclude each other"},
		"profile and config":   {[]string{"--in", "x", "--out", "y", "--profile", "integrity", "--config", "z"}, "exclude each other"},
		"profile":              {[]string{"--in", "x", "--out", "y", "--profile", "none"}, "unknown, use one of"},
		"salt":                 {[]string{"--in", "x", "--out", "y", "--salt", "salt"}, "hexadecimal"},
		"verify and change":    {[]string{"--verify", "x", "--out", "y"}, "leave --out out"},
		"argument":             {[]string{"x"}, "takes no argument"},
		"output":               {[]string{"--verify", "x", "-o", "yaml"}, "use table or json"},
		"flag that is unknown": {[]string{"--image", "x"}, "unknown flag"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errs := runImage(t, c.args...)
			require.Equal(t, Usage, status)
			require.Empty(t, out)
			require.Contains(t, errs, c.words)
		})
	}
}

func TestGuestImageFails(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("no image"), 0o600))
	for _, args := range [][]string{
		{"--verify", text},
		{"--verify", "/none"},
		{"--in", text, "--in-place", "--agent", "/none"},
		// Beside the test's program there is no agent extension.
		{"--in", text, "--out", text + "2"},
	} {
		status, out, errs := runImage(t, args...)
		require.Equal(t, Failed, status)
		require.Empty(t, out)
		require.NotEmpty(t, errs)
	}
}

// What is missing in an image is printed, for people and for programs, and is
// an exit status.
func TestGuestImageVerify(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	cpio := exec.Command("cpio", "--quiet", "-o", "-H", "newc", "-D", root)
	cpio.Stdin = bytes.NewReader([]byte(".\netc\n"))
	archive, err := cpio.Output()
	require.NoError(t, err)
	initrd := filepath.Join(t.TempDir(), "initrd")
	require.NoError(t, os.WriteFile(initrd, archive, 0o600))

	status, out, errs := runImage(t, "--verify", initrd)
	require.Equal(t, Failed, status)
	require.Empty(t, errs)
	require.Regexp(t, `(?m)^CHECK +STATE +FOUND +WHAT TO DO$`, out)
	require.Regexp(t, `(?m)^cryptsetup +missing +there is no program /usr/sbin/cryptsetup`, out)

	status, out, errs = runImage(t, "--verify", initrd, "-o", "json")
	require.Equal(t, Failed, status)
	require.Empty(t, errs)
	var report guestimage.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, guestimage.Initrd, report.Kind)
	require.False(t, report.Complete())
}
