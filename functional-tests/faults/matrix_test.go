// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range []string{KillTable, EffectTable} {
		for _, c := range Cells(table) {
			require.False(t, seen[c.Name()], c.Name())
			seen[c.Name()] = true
		}
	}
}

// Two shares have all victims and all kinds; the shares of twice as many commits
// as there are rows have all cells.
func TestSharesCoverTheTables(t *testing.T) {
	for table, columns := range map[string]int{KillTable: len(Victims()), EffectTable: len(Kinds())} {
		seen := map[string]bool{}
		for pair := range max(len(Steps()), len(Effects())) {
			inPair := map[string]bool{}
			for turn := range 2 {
				for _, c := range Share(table, 2*pair+turn) {
					inPair[c.Column], seen[c.Name()] = true, true
				}
			}
			require.Len(t, inPair, columns)
		}
		require.Len(t, seen, len(Cells(table)), table)
	}
}
