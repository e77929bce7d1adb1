// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const document = "../../docs/faults.md"

// update is the log of a run of all cells, whose outcomes go into the document:
// go test ./functional-tests/faults -run Docs -update LOG
var update = flag.String("update", "", "log of a run with TES_ALL=1 to write docs/faults.md from")

// TestDocsHaveTheTables: the document has each row and column of the data, and
// nothing else.
func TestDocsHaveTheTables(t *testing.T) {
	if _, err := os.Stat("../../go.mod"); err != nil {
		t.Skip("needs the repository, which is not in the test node: runs with the unit tests")
	}
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	text := string(content)
	for _, table := range []string{KillTable, EffectTable} {
		before, shown, after, err := tableIn(text, table)
		require.NoError(t, err)
		if *update != "" {
			log, err := os.Open(*update)
			require.NoError(t, err)
			found, err := outcomes(log)
			require.NoError(t, err)
			require.NoError(t, log.Close())
			shown = render(table, found)
			text = before + shown + after
		}
		require.Equal(t, skeleton(render(table, nil)), skeleton(shown), "write docs/faults.md anew (-update)")
	}
	if *update != "" {
		require.NoError(t, os.WriteFile(document, []byte(text), 0o644))
	}
}

// skeleton is a table without its outcomes: the first row, and the first column
// of the others with their number of cells.
func skeleton(table string) []string {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for i, line := range lines[2:] {
		fields := strings.Split(line, " | ")
		lines[i+2] = fields[0] + strings.Repeat(" | ", len(fields)-1)
	}
	return lines
}

func TestOutcomes(t *testing.T) {
	found, err := outcomes(strings.NewReader("    x.go:1: cell: kill | before mkfs.ext4 | QEMU | ttrpc: closed\n" +
		"noise\n    x.go:1: cell: kill | after mkfs.ext4 | agent extension | started\n    x.go:1: cell: cut off\n"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"kill/before_mkfs.ext4/QEMU":           "refused, then ok",
		"kill/after_mkfs.ext4/agent_extension": "starts",
	}, found)
}
