// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package version holds the version that the build puts into each binary.
package version

import (
	"regexp"
	"strings"
)

// Version is set at link time (-X); "unknown" for a plain `go build`.
var Version = "unknown"

// mark is the version between words by which Of finds it in a binary that nobody
// runs: one in a guest image, or for another architecture. (Go's own build
// information has neither the linker's flags nor, without a repository, a
// version.) Set at link time as well, and nowhere else: of a value here a copy
// would stay in the binary.
var mark string

// A mark that nothing refers to would not be linked in.
func init() {
	if Version == "unknown" && mark != "" {
		Version = strings.TrimSuffix(strings.TrimPrefix(mark, "[kata-tes-version:"), "]")
	}
}

// Of finds the version in a binary of ours; "unknown" when it has none.
func Of(binary []byte) string {
	form := regexp.MustCompile(`\[kata-tes-version:([0-9A-Za-z.+_~-]{1,64})\]`)
	if found := form.FindSubmatch(binary); found != nil {
		return string(found[1])
	}
	return "unknown"
}
