// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
)

// Result is what was done, or with DryRun would be.
type Result struct {
	DryRun   bool         `json:"dryRun"`
	Handlers []HandlerFor `json:"handlers"`
	Files    []FileChange `json:"files"`
	// Restart says what becomes of containerd.
	Restart Restart `json:"restart"`
	// Warnings are what the operator should know.
	Warnings []string `json:"warnings,omitempty"`
}

// HandlerFor is a handler that runs behind our shim.
type HandlerFor struct {
	Name       string `json:"name"`
	ConfigPath string `json:"configPath"`
	Shim       string `json:"shim"`
	QEMU       string `json:"qemu"`
}

// FileChange is a file that changed.
type FileChange struct {
	Path   string         `json:"path"`
	Action journal.Action `json:"action"`
	// Diff is in unified format; a line for what is no text.
	Diff string `json:"diff"`
}

// Restart is what becomes of containerd.
type Restart string

// Whether containerd was restarted.
const (
	NotNeeded Restart = "not needed"
	Needed    Restart = "needed"
	Restarted Restart = "done"
)

func describe(changes []journal.Change) []FileChange {
	files := make([]FileChange, len(changes))
	for i, c := range changes {
		files[i] = FileChange{Path: c.Path, Action: c.Action, Diff: diffOf(c)}
	}
	return files
}

func diffOf(c journal.Change) string {
	if isText(c.From) && isText(c.To) {
		return unified(c.Path, c.From, c.To)
	}
	size := func(content []byte) string {
		if content == nil {
			return "nothing"
		}
		return fmt.Sprintf("%d bytes", len(content))
	}
	return fmt.Sprintf("Binary file %s: from %s to %s\n", c.Path, size(c.From), size(c.To))
}

func isText(content []byte) bool {
	return utf8.Valid(content) && !bytes.ContainsRune(content, 0)
}
