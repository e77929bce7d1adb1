// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// untar unpacks an archive beside it and removes it.
func untar(archive, folder string) error {
	output, err := exec.Command("tar", "-xf", archive, "-C", folder, "--no-same-owner").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("unpacking the node's logs: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return errors.Join(err, os.Remove(archive))
}
