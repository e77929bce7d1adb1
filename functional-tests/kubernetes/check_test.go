// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// testCheckScript runs functional-tests/tdx/check.sh, which is meant for
// clusters with TDX, on this one, and keeps what it asked and was answered:
// functional-tests/tdx/testdata/recorded is a copy of that.
func testCheckScript(t *testing.T, r *rig) {
	lab.Apply(t, runtimeClass)
	r.offer(t)
	record := filepath.Join(lab.Logs, "check-script")
	cmd := exec.CommandContext(t.Context(), "/opt/tes/tdx/check.sh", "--no-tdx", "--record", record)
	cmd.Env = append(os.Environ(), "KUBECTL=/opt/tes/kubernetes/bin/kubectl", "KUBECONFIG=/opt/tes/kubernetes/admin")
	output, err := cmd.CombinedOutput()
	t.Logf("\n%s", output)
	require.NoError(t, err)
	require.NoError(t, r.volume.RemoveAfterPod(t.Context()), "it cleaned up, and nobody holds the volume")
}
