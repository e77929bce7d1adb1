// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"math/rand"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnified(t *testing.T) {
	require.Equal(t, "--- a/f\n+++ b/f\n@@ -2,5 +2,6 @@\n 2\n 3\n 4\n-5\n+five\n+5a\n 6\n",
		unified("/f", []byte("1\n2\n3\n4\n5\n6\n"), []byte("1\n2\n3\n4\nfive\n5a\n6\n")))
	require.Equal(t, "--- /dev/null\n+++ b/f\n@@ -0,0 +1,1 @@\n+x\n\\ No newline at end of file\n", unified("/f", nil, []byte("x")))
	require.Equal(t, "--- a/f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n", unified("/f", []byte("x\n"), nil))
}

// TestPatchUnderstandsIt has the program patch make the one text of the other.
func TestPatchUnderstandsIt(t *testing.T) {
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip("no program patch (package patch)")
	}
	random := rand.New(rand.NewSource(1))
	words := []string{"a\n", "b\n", "c\n", "\n", "d"}
	text := func() string {
		var b strings.Builder
		for range random.Intn(40) {
			b.WriteString(words[random.Intn(4)])
		}
		b.WriteString(words[random.Intn(len(words))])
		return b.String()
	}
	dir := t.TempDir()
	for range 100 {
		from, to := text(), text()
		if from == to {
			continue
		}
		put(t, filepath.Join(dir, "f"), from, 0o644)
		cmd := exec.Command("patch", "-s", "-p1")
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader(unified("/f", []byte(from), []byte(to)))
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %q to %q", output, from, to)
		require.Equal(t, to, read(t, dir, "f"))
	}
}
