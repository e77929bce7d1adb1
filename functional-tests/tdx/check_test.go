// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tdx_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorded is a run of check.sh on real Kubernetes (functional-tests/kubernetes
// leaves it among its logs).
const recorded = "testdata/recorded"

// dry runs the script against a folder of answers.
func dry(t *testing.T, folder string) (output string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./check.sh", "--no-tdx", "--dry", folder)
	content, err := cmd.CombinedOutput()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return string(content), cmd.ProcessState.ExitCode()
}

func TestCheckPassesOnWhatWasRecorded(t *testing.T) {
	output, status := dry(t, recorded)
	require.Zero(t, status, output)
	require.NotContains(t, output, "FAILED")
	require.NotContains(t, output, "MISSING")
	for _, text := range []string{"2/2 Running", "it is LUKS2", "refused in words", "is gone"} {
		require.Contains(t, output, text)
	}
}

// TestCheckFails changes one recorded answer at a time.
func TestCheckFails(t *testing.T) {
	for name, c := range map[string]struct {
		// question is a part of what was asked, and picks the answer to change.
		question, answer string
		exit             string
		status           int
		says             string
	}{
		"no cluster":          {question: "kubectl version", exit: "1", answer: "connection refused", status: 2, says: "a cluster that kubectl reaches"},
		"no runtime class":    {question: "get runtimeclass", exit: "1", answer: "not found", status: 2, says: "MISSING RuntimeClass kata-qemu-tdx"},
		"no storage class":    {question: "get storageclass", exit: "1", answer: "not found", status: 2, says: "MISSING StorageClass open-local-lvm"},
		"no right":            {question: "auth can-i create pods --", exit: "1", answer: "no", status: 2, says: "the right to create pods"},
		"left over namespace": {question: "get namespace", exit: "0", answer: "namespace/kata-tes-check", status: 2, says: "is there already"},
		"no mapping":          {question: "grep -l -x ephemeral", exit: "1", answer: "", status: 1, says: "the guest has no mapping"},
		"plain mapping":       {question: "/uuid", exit: "0", answer: "CRYPT-PLAIN-x", status: 1, says: "it is no LUKS2 mapping"},
		"root in memory":      {question: "mountinfo", exit: "0", answer: "1 2 0:3 / / rw - tmpfs tmpfs rw", status: 1, says: "the container's root is not on the store"},
		"small root":          {question: "stat -f", exit: "0", answer: "1000 4096", status: 1, says: "it is elsewhere"},
		"second pod unknown":  {question: "lastState.terminated.message", exit: "0", answer: "something else", status: 1, says: "the message does not say why"},
		"namespace stays":     {question: "delete namespace", exit: "1", answer: "timed out", status: 1, says: "remove it by hand"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.CopyFS(folder, os.DirFS(recorded)))
			change(t, folder, c.question, c.exit+"\n"+c.answer+"\n")
			output, status := dry(t, folder)
			require.Equal(t, c.status, status, output)
			require.Contains(t, output, c.says)
		})
	}
}

// change replaces the answer to the one question that contains the text.
func change(t *testing.T, folder, question, answer string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "[0-9]*"))
	require.NoError(t, err)
	changed := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		asked, _, _ := strings.Cut(string(content), "\n")
		if strings.Contains(asked, question) {
			require.NoError(t, os.WriteFile(file, []byte(asked+"\n"+answer), 0o644))
			changed++
		}
	}
	require.Equal(t, 1, changed, "questions with %q", question)
}

func TestCheckRefusesARecordOfAnotherScript(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "001"), []byte("kubectl something else\n0\n"), 0o644))
	output, status := dry(t, folder)
	require.Equal(t, 2, status, output)
	require.Contains(t, output, "record again")
}
