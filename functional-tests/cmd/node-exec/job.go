// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kata-tes/kata-tes/functional-tests/node"
)

// job is what to run, and in what node.
type job struct {
	config node.Config
	// name is for the folder of logs.
	name string
	// line is run by the node's shell.
	line string
	// terminal: a person types.
	terminal bool
	// boots is how often the node may boot on its disk.
	boots int
	// cluster: the node gets a Kubernetes control plane beside it.
	cluster bool
}

const usage = `usage: node-exec TEST-BINARY [FLAGS]    (by go test -exec)
       node-exec -- COMMAND [ARGUMENTS]
       node-exec shell`

func parse(args []string) (*job, error) {
	if len(args) == 0 {
		return nil, errors.New(usage)
	}
	j := &job{config: node.Config{Files: map[string]string{}, Log: os.Stderr}}
	var err error
	if j.config.Build, err = buildFolder(); err != nil {
		return nil, err
	}
	needs, err := readNeeds(needsFile)
	if err != nil {
		return nil, err
	}
	j.cluster = needs.ControlPlane || os.Getenv("NODE_CONTROL_PLANE") == "1"
	j.config.MemoryMiB = needs.Memory
	j.boots, j.config.KeepDisk = max(needs.Boots, 1), needs.Boots > 1
	if text := os.Getenv("NODE_MEMORY"); text != "" {
		if j.config.MemoryMiB, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("NODE_MEMORY=%s is no number of MiB", text)
		}
	}
	if j.config.Disks, err = node.ParseDisks(os.Getenv("NODE_DISKS")); err != nil {
		return nil, fmt.Errorf("NODE_DISKS: %w", err)
	}
	switch {
	case args[0] == "shell" && len(args) == 1:
		j.name, j.line, j.terminal = "shell", environment()+"exec bash -l", true
	case args[0] == "--" && len(args) > 1:
		j.name, j.line = filepath.Base(args[1]), environment()+"exec "+quoteAll(args[1:])
	case strings.HasPrefix(args[0], "-"):
		return nil, errors.New(usage)
	default:
		j.test(args[0], args[1:])
	}
	return j, nil
}

// test makes a job of a test binary: it runs in a folder with the package's
// testdata, as `go test` does it.
func (j *job) test(binary string, flags []string) {
	j.name = strings.TrimSuffix(filepath.Base(binary), ".test")
	name := filepath.Base(binary)
	j.config.Files["test/"+name] = binary
	if _, err := os.Stat("testdata"); err == nil {
		j.config.Files["test/testdata"] = "testdata"
	}
	j.line = "mkdir -p /root/test && cd /root/test && { [ ! -d /opt/tes/test/testdata ] || cp -r /opt/tes/test/testdata .; } && " +
		environment() + "exec " + quoteAll(append([]string{"/opt/tes/test/" + name}, flags...))
}

// buildFolder is the one that this program lies in, as build/bin/node-exec.
func buildFolder() (string, error) {
	if folder := os.Getenv("NODE_BUILD"); folder != "" {
		return filepath.Abs(folder)
	}
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the build folder: %w", err)
	}
	return filepath.Dir(filepath.Dir(program)), nil
}

// environment is what a command in the node gets of ours.
func environment() string {
	var line strings.Builder
	line.WriteString("export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; ")
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TES_") {
			fmt.Fprintf(&line, "export %s=%s; ", name, quote(value))
		}
	}
	return line.String()
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return strings.Join(quoted, " ")
}

// quote makes one word for a shell of any text.
func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
