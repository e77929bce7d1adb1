// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package output prints what a command found, for people (a table) or for
// programs (JSON).
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Format is the value of the flag --output. It implements pflag.Value.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// String is the format's name.
func (f *Format) String() string { return string(*f) }

// Set takes a format by its name.
func (f *Format) Set(name string) error {
	switch Format(name) {
	case Table, JSON:
		*f = Format(name)
		return nil
	}
	return fmt.Errorf("output %q is unknown: use table or json", name)
}

// Type is what help calls the value.
func (f *Format) Type() string { return "table|json" }

// Row is a line of a table.
type Row []string

// Print writes value as JSON, or rows under head as a table. An empty table is
// its head alone.
func (f Format) Print(w io.Writer, value any, head Row, rows []Row) error {
	if f == JSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([]Row{head}, rows...) {
		if _, err := fmt.Fprintln(table, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}
