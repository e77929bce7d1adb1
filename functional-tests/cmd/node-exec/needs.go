// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pelletier/go-toml/v2"
)

// needsFile is where a package of tests says what it needs; `go test` runs us
// in the package's folder.
const needsFile = "testdata/node.toml"

// needs are what a package needs of its node.
type needs struct {
	// Memory of the node in MiB; the default where it is 0.
	Memory       int  `toml:"memory"`
	ControlPlane bool `toml:"control_plane"`
	// Boots is how often the node boots at most, on the same disk: a test asks
	// for the next one by lab.LosePower. Once where it is 0.
	Boots int `toml:"boots"`
}

func readNeeds(path string) (needs, error) {
	var n needs
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("reading what the tests need: %w", err)
	}
	decoder := toml.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&n); err != nil {
		return n, fmt.Errorf("reading what the tests need: %s: %w", path, err)
	}
	if n.Memory < 0 || n.Boots < 0 {
		return n, fmt.Errorf("reading what the tests need: %s: memory and boots are not negative", path)
	}
	return n, nil
}
