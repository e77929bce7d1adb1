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

// Each share has all victims and all kinds; the shares of as many commits as
// there are rows have all cells.
func TestSharesCoverTheTables(t *testing.T) {
	for table, columns := range map[string]int{KillTable: len(Victims()), EffectTable: len(Kinds())} {
		seen := map[string]bool{}
		for turn := range max(len(Steps()), len(Effects())) {
			share := Share(table, turn)
			require.Len(t, share, columns)
			inShare := map[string]bool{}
			for _, c := range share {
				inShare[c.Column], seen[c.Name()] = true, true
			}
			require.Len(t, inShare, columns)
		}
		require.Len(t, seen, len(Cells(table)), table)
	}
}
