// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// runTable runs a table's cells, or this commit's share of them. Lines that begin
// with "cell:" become docs/faults.md: those of cells that left nothing either.
func runTable(t *testing.T, table string, run func(*trial, Cell) string, limitsOf func(Cell) limits) {
	r := newRig(t)
	cells := Share(table, rotation(t))
	if all() {
		cells = Cells(table)
	}
	tried, survived := 0, 0
	for _, c := range cells {
		ran := false
		ok := t.Run(strings.TrimPrefix(c.Name(), table+"/"), func(t *testing.T) {
			ran = true
			var outcome string
			t.Cleanup(func() {
				if !t.Failed() {
					t.Logf("cell: %s | %s | %s | %s", c.Table, c.Row, c.Column, outcome)
				}
			})
			r.checkLeft(t)
			began := time.Now()
			tr := r.begin(t, limitsOf(c))
			outcome = run(tr, c)
			require.NoError(t, tr.pod.Remove(t.Context()))
			tr.forgetUnknown()
			t.Logf("took %.0f s", time.Since(began).Seconds())
		})
		if ran {
			tried++
		}
		if ok && ran {
			survived++
		}
	}
	t.Logf("summary: faults: %d of %d tried, %d survived, %d leaks (%s table; Kata and containerd left %d folders of their own)", tried, len(Cells(table)), survived, len(r.leaks), table, len(r.others))
}

// checkLeft counts what the cell leaves: it is to be called before the cell makes
// anything, so that it looks last.
func (r *rig) checkLeft(t *testing.T) {
	t.Helper()
	before, err := lab.TakeInventory()
	require.NoError(t, err)
	t.Cleanup(func() {
		left, err := before.AwaitNothingNew()
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			r.leaks = append(r.leaks, left...)
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
}
