// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package faults

// Share is the part of a table that the rotation's turn is at: one cell of every
// other column, in rows that lie apart. Two turns have been in each column; after
// two turns the rows move on by one, so that twice as many turns as there are rows
// have been in all cells.
func Share(table string, rotation int) []Cell {
	cells := Cells(table)
	var rows, columns []string
	at := map[[2]string]Cell{}
	for _, c := range cells {
		rows, columns = appendNew(rows, c.Row), appendNew(columns, c.Column)
		at[[2]string{c.Row, c.Column}] = c
	}
	var share []Cell
	for i, column := range columns {
		if (i+rotation)%2 != 0 {
			continue
		}
		row := (rotation/2 + i*len(rows)/len(columns)) % len(rows)
		// A place that is no cell: the next row stands in.
		for {
			if c, ok := at[[2]string{rows[row], column}]; ok {
				share = append(share, c)
				break
			}
			row = (row + 1) % len(rows)
		}
	}
	return share
}

func appendNew(list []string, item string) []string {
	for _, known := range list {
		if known == item {
			return list
		}
	}
	return append(list, item)
}
