// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command manuals writes kata-tes's man pages into a folder, one for each
// command, from what its --help says. A release has them (configs/release).
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/command"
	"github.com/spf13/cobra/doc"
)

func main() {
	version := flag.String("version", "unknown", "the version that the pages name")
	date := flag.Int64("date", 0, "the pages' date, in seconds since 1970")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: manuals [-version VERSION] [-date SECONDS] FOLDER")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *version, time.Unix(*date, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "manuals:", err)
		os.Exit(1)
	}
}

func write(folder, version string, date time.Time) error {
	root := command.Root(version)
	// The line that says which day cobra wrote it would differ each day.
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{
		Section: "8",
		Source:  "kata-tes " + version,
		Manual:  "kata-tes",
		Date:    &date,
	}
	if err := doc.GenManTree(root, header, folder); err != nil {
		return fmt.Errorf("writing the man pages: %w", err)
	}
	return nil
}
