// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// licenceFile are the names by which modules call the file.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-_][a-z0-9]+)?(\.(md|txt|rst))?$`)

// certain is how much of a file must be the licence's own words, in percent. The
// rest is names and years.
const certain = 75

// licenceOf names a module's licences as SPDX does. One that is not recognised
// is an error: a person has to read it.
func licenceOf(m module) (string, error) {
	// A module below its repository's root may have its licence there, which its
	// archive has a copy of (go mod download).
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return "", fmt.Errorf("looking for the licence of %s: %w", m.Path, err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, entry.Name()))
		if err != nil {
			return "", fmt.Errorf("reading the licence of %s: %w", m.Path, err)
		}
		cover := licensecheck.Scan(text)
		if cover.Percent < certain {
			return "", fmt.Errorf("the licence of %s in %s is not recognised (%.0f %% of it): read it", m.Path, entry.Name(), cover.Percent)
		}
		for _, match := range cover.Match {
			names = append(names, match.ID)
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%s has no licence that is recognised", m.Path)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", "), nil
}
