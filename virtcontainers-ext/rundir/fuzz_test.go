// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzID: an id that is accepted is a name of its own below the root, and no
// other part of ours is called so.
func FuzzID(f *testing.F) {
	for _, id := range []string{sid, "", ".", "..", "a/b", "../x", "a\x00b", "-a", "a..b", "a.b_c-d", metricsFolder, "ä"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if ValidateID(id) != nil {
			return
		}
		path := filepath.Join(Root, id)
		if filepath.Dir(path) != Root || filepath.Base(path) != id || path == MetricsPath(Root) || !filepath.IsLocal(id) {
			t.Fatalf("%q is accepted and names %s", id, path)
		}
		if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == '=' }) {
			t.Fatalf("%q means something in QEMU's arguments", id)
		}
	})
}

// FuzzSandbox: a description that somebody damaged is an error, or is read and
// written again as it is.
func FuzzSandbox(f *testing.F) {
	f.Add([]byte(`{"hypervisor":"/opt/kata/bin/qemu-system-x86_64","inner_shim":"/opt/kata/bin/containerd-shim-kata-v2","config_path":"/opt/kata/c.toml"}` + "\n"))
	f.Add([]byte(`{"hypervisor":"/h","added_later":[1]}`))
	f.Add([]byte(`{"hypervisor":`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, content []byte) {
		root := shortRoot(t)
		require.NoError(t, Create(root, sid, sample))
		require.NoError(t, os.WriteFile(filepath.Join(root, sid, sandboxFile), content, 0o600))
		s, err := Load(root, sid)
		if err != nil {
			require.Zero(t, s)
			return
		}
		require.NoError(t, Create(root, sid, s))
		again, err := Load(root, sid)
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}
