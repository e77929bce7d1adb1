// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
)

const (
	// leastQEMU is the oldest major version that has what we ask of the monitor:
	// query-named-block-nodes with "flat" (QEMU 5.0).
	leastQEMU = 5
	// triedQEMU is the oldest that tests run on.
	triedQEMU = 7
)

// qemuVersion is in the first line of `qemu-system-… --version`.
var qemuVersion = regexp.MustCompile(`QEMU emulator version ([0-9]+\.[0-9]+[0-9A-Za-z.+~-]*)`)

// checkQEMU is about the program that the wrapper becomes.
func (h handler) checkQEMU(ctx context.Context) (string, error) {
	if h.config == nil {
		return "", unknownf("see the check of the node's configuration", "/etc/kata-tes/config.toml makes no sense")
	}
	settings, err := h.config.For(h.ConfigPath)
	if err != nil {
		return "", unknownf("see the check of Kata's own shim", "%v", err)
	}
	qemu := h.onNode(settings.Hypervisor)
	if qemu == "" {
		return "", errors.New("none was found: neither the Kata configuration nor /etc/kata-tes/config.toml names one that is there")
	}
	out, err := h.live.run(ctx, qemu, "--version")
	if err != nil {
		return "", err
	}
	found := qemuVersion.FindStringSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("%s --version says %.100q, as no QEMU does", qemu, out)
	}
	major, _, known := parseVersion(found[1])
	switch {
	case !known:
		return "", unknownf("", "%s is %s, which is no version", qemu, found[1])
	case major < leastQEMU:
		return "", fmt.Errorf("%s is %s, and %d.0 is the oldest that works", qemu, found[1], leastQEMU)
	case major < triedQEMU:
		return "", warnf("", "%s is %s; kata-tes is tested from %d on", qemu, found[1], triedQEMU)
	}
	return qemu + " is " + found[1], nil
}
