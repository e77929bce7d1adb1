// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// cellLine begins what a test says of a cell that survived: table, row, column
// and what the user reads follow, separated by " | ".
const cellLine = "cell: "

// notRun is in a table where the log has nothing of a cell.
const notRun = "not run"

// outcomes reads the cells that survived from a test's log, by name.
func outcomes(log io.Reader) (map[string]string, error) {
	found := map[string]string{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, line, ok := strings.Cut(lines.Text(), cellLine)
		fields := strings.SplitN(line, " | ", 4)
		if !ok || len(fields) != 4 {
			continue
		}
		outcome := "refused, then ok"
		if fields[3] == "started" {
			outcome = "starts"
		}
		found[Cell{Table: fields[0], Row: fields[1], Column: fields[2]}.Name()] = outcome
	}
	return found, lines.Err()
}

// render makes a table in Markdown.
func render(table string, outcome map[string]string) string {
	var rows, columns []string
	for _, c := range Cells(table) {
		rows, columns = appendNew(rows, c.Row), appendNew(columns, c.Column)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "| | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(&text, "| %s |", row)
		for _, column := range columns {
			place := outcome[Cell{Table: table, Row: row, Column: column}.Name()]
			if place == "" {
				place = notRun
			}
			if reason := Impossible(row, Kind(column)); table == EffectTable && reason != "" {
				place = "(" + reason + ")"
			}
			fmt.Fprintf(&text, " %s |", place)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// begin and end are the marks around a table in docs/faults.md.
func begin(table string) string { return "<!-- begin " + table + " -->\n" }
func end(table string) string   { return "<!-- end " + table + " -->\n" }

// tableIn cuts a document into what is before a table, the table, and what is
// after it.
func tableIn(document, table string) (before, text, after string, err error) {
	before, rest, ok := strings.Cut(document, begin(table))
	text, after, closed := strings.Cut(rest, end(table))
	if !ok || !closed {
		return "", "", "", fmt.Errorf("no marks around the table %q", table)
	}
	return before + begin(table), text, end(table) + after, nil
}
