// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qemuwrap

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

func TestSandboxID(t *testing.T) {
	for args, want := range map[string]string{
		"-name sandbox-abc":                   "abc",
		"-name sandbox-abc,debug-threads=on":  "abc",
		"--name sandbox-abc":                  "abc",
		"-name guest=sandbox-abc,process=x":   "abc",
		"-machine q35 -name sandbox-abc -m 1": "abc",
		"-name sandbox-abc -name sandbox-def": "abc",
		"":                                    "",
		"-name":                               "",
		"-name sandbox-":                      "",
		"-name abc":                           "",
		"-name sandbox-a/b":                   "",
		"-name sandbox-..":                    "",
		"sandbox-abc":                         "",
		"-name sandbox-" + strings.Repeat("a", 77): "",
	} {
		id, found := sandboxID(strings.Fields(args))
		require.Equal(t, want != "", found, args)
		if found {
			require.Equal(t, want, id, args)
		}
	}
}

// FuzzSandboxID: whatever the arguments are, an id that is found is one that can
// be a folder's name.
func FuzzSandboxID(f *testing.F) {
	f.Add("-name\nsandbox-abc,debug-threads=on")
	f.Add("--name\nguest=sandbox-../../etc")
	f.Fuzz(func(t *testing.T, args string) {
		id, found := sandboxID(strings.Split(args, "\n"))
		if found {
			require.NoError(t, rundir.ValidateID(id))
			require.NotContains(t, id, "/")
			require.NotEqual(t, "..", id)
		}
	})
}
