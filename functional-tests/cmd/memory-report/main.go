// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command memory-report writes docs/memory.md and docs/memory.svg of what the
// memory benchmark printed (functional-tests/memory.sh).
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// result is what functional-tests/bench/memory prints.
type result struct {
	ImageMiB            int `json:"image_mib"`
	Store, Fits         bool
	Total, Before, With int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("memory-report: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: memory-report FOLDER <RESULTS")
	}
	if err := run(os.Stdin, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(input io.Reader, folder string) error {
	results, err := read(input)
	if err != nil {
		return err
	}
	rows, err := pair(results)
	if err != nil {
		return err
	}
	for name, content := range map[string]func([]row) (string, error){"memory.md": page, "memory.svg": plot} {
		text, err := content(rows)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// read takes the results out of a benchmark's output.
func read(input io.Reader) ([]result, error) {
	var results []result
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		_, text, ok := strings.Cut(lines.Text(), "memory-result ")
		if !ok {
			continue
		}
		var r result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("result %q: %w", text, err)
		}
		results = append(results, r)
	}
	return results, lines.Err()
}

// row is one image, without a store and with one.
type row struct {
	ImageMiB      int
	Without, With result
}

func pair(results []result) ([]row, error) {
	var rows []row
	for _, without := range results {
		for _, with := range results {
			if !without.Store && with.Store && with.ImageMiB == without.ImageMiB {
				rows = append(rows, row{without.ImageMiB, without, with})
			}
		}
	}
	if len(rows) == 0 || len(rows)*2 != len(results) {
		return nil, errors.New("the input has no results, or not each with and without a store")
	}
	return rows, nil
}
