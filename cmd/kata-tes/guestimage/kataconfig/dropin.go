// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package kataconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// DefaultHypervisor is the section where no configuration says another.
const DefaultHypervisor = "qemu"

// head is the first line of our drop-ins, by which a later kata-tes knows that
// it may replace one.
const head = "# Written by kata-tes guest-image: the guest image with the agent extension.\n"

// bareKey is what a TOML key can be without quotes.
var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Key is a line of a drop-in.
type Key struct{ Name, Value string }

// DropIn is a configuration that sets the keys of a hypervisor's section.
func DropIn(hypervisor string, keys []Key) ([]byte, error) {
	if !bareKey.MatchString(hypervisor) {
		return nil, fmt.Errorf("the hypervisor's name %q can't stand in a configuration", hypervisor)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n[hypervisor.%s]\n", head, hypervisor)
	for _, key := range keys {
		line, err := toml.Marshal(map[string]string{key.Name: key.Value})
		if err != nil {
			return nil, fmt.Errorf("writing %s into a drop-in: %w", key.Name, err)
		}
		b.Write(line)
	}
	return []byte(b.String()), nil
}

// CanWrite says whether a drop-in may be written there: only over one of ours.
func CanWrite(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own choice
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the drop-in: %w", err)
	case !bytes.HasPrefix(text, []byte(head)):
		return fmt.Errorf("the drop-in %s is there already and was not written by kata-tes guest-image: choose another name", path)
	}
	return nil
}
