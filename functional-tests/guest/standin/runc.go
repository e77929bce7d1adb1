// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func writeSpec(path string, spec *specs.Spec) error {
	content, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encoding the container's specification: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("writing the container's bundle: %w", err)
	}
	return nil
}

// explain says what runc wrote to the container's log in the place of an exit
// status.
func (c *container) explain(err error) error { return explain(err, c.runc.Log) }

// explain reads the last error in one of runc's logs. The next command finds it
// empty.
func explain(err error, logFile string) error {
	if err == nil {
		return nil
	}
	content, failed := os.ReadFile(logFile)
	if failed == nil {
		failed = os.Truncate(logFile, 0)
	}
	if failed != nil {
		return fmt.Errorf("%w (and its log: %w)", err, failed)
	}
	last := ""
	for line := range strings.Lines(string(content)) {
		var entry struct {
			Level, Msg string
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	if last == "" {
		return err
	}
	return fmt.Errorf("%s (%w)", last, err)
}
