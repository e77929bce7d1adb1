// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Config says what to boot.
type Config struct {
	// Build is the repository's build folder.
	Build string
	// MemoryMiB of the node; 4096 where it is 0.
	MemoryMiB int
	// Disks in addition to the node's own.
	Disks []Disk
	// KeepDisk gives the node a disk of its own, with a journal, that is there
	// again after Reboot. Without it what the node writes is in no file.
	KeepDisk bool
	// Files and folders that are put on the payload disk: path below
	// /opt/tes in the node, and path here.
	Files map[string]string
	// Log gets a line for each thing that is worth knowing.
	Log io.Writer
}

const defaultMemoryMiB = 4096

// ErrNotBuilt says that parts of the node are missing.
var ErrNotBuilt = errors.New("the test node is not built: run `functional-tests/build.sh all` first")

func (c *Config) part(elements ...string) string {
	return filepath.Join(append([]string{c.Build, "parts"}, elements...)...)
}

func (c *Config) check() error {
	for _, path := range []string{c.part("kernel", "vmlinuz"), c.part("disk", "root.img"), c.part("disk", "initrd"), c.part("payload", ".key")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w (%w)", ErrNotBuilt, err)
		}
	}
	return nil
}

func (c *Config) memory() int {
	if c.MemoryMiB > 0 {
		return c.MemoryMiB
	}
	return defaultMemoryMiB
}

func (c *Config) logf(format string, args ...any) {
	if c.Log != nil {
		fmt.Fprintf(c.Log, "node: "+format+"\n", args...)
	}
}
