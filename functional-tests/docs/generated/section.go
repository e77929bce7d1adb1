// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package generated keeps those parts of the documentation current that are
// made from code: what is between two marks of a page is compared with what the
// code says now, or written anew.
package generated

import (
	"fmt"
	"os"
	"strings"
)

// Section brings one part of a page to the text that it should have: between
// the lines
//
//	<!-- NAME: begin (...) -->
//	<!-- NAME: end -->
//
// With write it is written, otherwise an error says that the page differs.
func Section(page, name, text string, write bool) error {
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(content), "<!-- "+name+": begin (")
	mark, rest, closed := strings.Cut(rest, ") -->\n")
	_, after, ended := strings.Cut(rest, "<!-- "+name+": end -->")
	if !found || !closed || !ended {
		return fmt.Errorf("%s has no section between <!-- %s: begin (...) --> and <!-- %s: end -->", page, name, name)
	}
	want := before + "<!-- " + name + ": begin (" + mark + ") -->\n\n" + strings.TrimSpace(text) + "\n\n<!-- " + name + ": end -->" + after
	switch {
	case want == string(content):
		return nil
	case !write:
		return fmt.Errorf("%s is not current in its section %s: run the test with -args -update and commit", page, name)
	}
	return os.WriteFile(page, []byte(want), 0o644)
}
