// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"errors"
	"fmt"
	"strings"
)

// ErrLookalike says that a device is at a path that only begins like the
// trusted store's.
var ErrLookalike = errors.New("the path of a device looks like the trusted store's and is not")

// checkLookalike refuses devices at /dev/trusted_store2, /dev/trusted_store_x
// and /dev/trusted_store/x: a slip of the pen there would give the pod a plain
// disk in the container and no store, and nobody would notice. Those names are
// also what later versions may give a meaning to.
func (s *Spec) checkLookalike(devicePath string) error {
	for _, d := range s.Linux.Devices {
		if p := inContainer(d.Path); p != devicePath && strings.HasPrefix(p, devicePath) {
			return fmt.Errorf("%w: %.200q; write %s for the trusted store, or give the device a path that does not begin so (all that do are reserved)", ErrLookalike, p, devicePath)
		}
	}
	return nil
}
