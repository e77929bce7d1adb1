// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// deviceNumber is "major:minor", and so one component of a path.
var deviceNumber = regexp.MustCompile(`^[0-9]{1,10}:[0-9]{1,10}$`)

// sectorSize is the unit of sysfs' size, in bytes, whatever the device's is
// (Documentation/ABI/stable/sysfs-block).
const sectorSize = 512

// volume gives a device the name by which people know it: a mapping's name
// where it is one, else the kernel's.
func (n Node) volume(number string) Volume {
	v := Volume{Number: number}
	if !deviceNumber.MatchString(number) {
		return v
	}
	folder := filepath.Join(n.Sys, "dev", "block", number)
	if target, err := filepath.EvalSymlinks(folder); err == nil {
		// The kernel writes '!' for a slash in a device's name.
		v.Path = "/dev/" + strings.ReplaceAll(filepath.Base(target), "!", "/")
	}
	if mapping := readLine(filepath.Join(folder, "dm", "name")); mapping != "" {
		v.Path = "/dev/mapper/" + mapping
	}
	if sectors, err := strconv.ParseUint(readLine(filepath.Join(folder, "size")), 10, 54); err == nil {
		v.SizeBytes = sectors * sectorSize
	}
	return v
}

// readLine is empty for a file that isn't there.
func readLine(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // sysfs, and the number was checked
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
