// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Failing makes everything that is read from or written to the volume fail with
// an I/O error, as of a disk that has gone, until the test ends or the volume is
// removed.
func (v Volume) Failing(t testing.TB) {
	t.Helper()
	v.replace(t, "error", func(string, string) string { return "error" })
}

// Flaky makes it fail every second second, for a second (dm-flakey).
func (v Volume) Flaky(t testing.TB) {
	t.Helper()
	v.replace(t, "flakey", func(disk, offset string) string { return fmt.Sprintf("flakey %s %s 1 1", disk, offset) })
}

// Hung makes everything wait that is read from or written to the volume, until
// resume is called or the test ends.
func (v Volume) Hung(t testing.TB) (resume func()) {
	t.Helper()
	// Without a flush or a freeze: nothing that is on its way is waited for.
	must(t, "dmsetup", "suspend", "--noflush", "--nolockfs", v.Path)
	hangs := true
	resume = func() {
		if hangs {
			hangs = false
			must(t, "dmsetup", "resume", v.Path)
		}
	}
	t.Cleanup(resume)
	return resume
}

// replace puts another target in the place of the volume's own.
func (v Volume) replace(t testing.TB, module string, target func(disk, offset string) string) {
	t.Helper()
	if module != "error" { // which device-mapper always has
		must(t, "modprobe", "dm_"+module)
	}
	// "0 2097152 linear 7:0 2048": start, length, and where it is mapped to.
	fields := strings.Fields(must(t, "dmsetup", "table", v.Path))
	if len(fields) != 5 || fields[2] != "linear" {
		t.Fatalf("%s is not one piece of a disk: %q", v.Path, fields)
	}
	v.remap(t, strings.Join(fields[:2], " ")+" "+target(fields[3], fields[4]))
	t.Cleanup(func() {
		if _, err := os.Stat(v.Path); err == nil {
			v.remap(t, strings.Join(fields, " "))
		}
	})
}

// CreateThin makes a volume in a thin pool that has room for less than the
// volume's size, and that refuses what does not fit instead of waiting for room
// (error_if_no_space). Both are removed when the test ends.
func (g *VolumeGroup) CreateThin(t testing.TB, name string, size, room int64) Volume {
	t.Helper()
	must(t, "modprobe", "dm_thin_pool")
	// The node has no thin_check; the pool is new.
	unchecked := `global/thin_check_executable=""`
	pool := g.Name + "/" + name + "-pool"
	must(t, "lvcreate", "--quiet", "--yes", "--config", unchecked, "--type", "thin-pool", "--errorwhenfull", "y",
		"--poolmetadatasize", "4m", "--size", fmt.Sprintf("%db", room), "--name", name+"-pool", g.Name)
	t.Cleanup(func() { must(t, "lvremove", "--quiet", "--yes", "--config", unchecked, pool) })
	must(t, "lvcreate", "--quiet", "--yes", "--config", unchecked, "--thin", "--virtualsize", fmt.Sprintf("%db", size), "--name", name, pool)
	v := g.Find(t, name, size)
	t.Cleanup(func() {
		if _, err := os.Stat(v.Path); err == nil {
			must(t, "lvremove", "--quiet", "--yes", "--config", unchecked, v.Path)
		}
	})
	return v
}
