// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
// volume's size (bytes), and that refuses what does not fit instead of waiting for
// room (error_if_no_space). All of it is removed when the test ends. By dmsetup:
// LVM wants thin_check, and does not pass that property on.
func (g *VolumeGroup) CreateThin(t testing.TB, name string, size, room int64) Volume {
	t.Helper()
	must(t, "modprobe", "dm_thin_pool")
	// A pool's first block has to be zero, as LVM makes it.
	metadata, data := g.Create(t, name+"-metadata", 4<<20), g.Create(t, name+"-data", room)
	const sector, chunk = 512, 128
	pool := mapping(t, name+"-pool", fmt.Sprintf("0 %d thin-pool %s %s %d 0 1 error_if_no_space", room/sector, metadata.Path, data.Path, chunk))
	must(t, "dmsetup", "message", name+"-pool", "0", "create_thin 0")
	v := Volume{Path: mapping(t, name, fmt.Sprintf("0 %d thin %s 0", size/sector, pool)), Size: size}
	var stat unix.Stat_t
	if err := unix.Stat(v.Path, &stat); err != nil {
		t.Fatal(err)
	}
	v.Major, v.Minor = unix.Major(stat.Rdev), unix.Minor(stat.Rdev)
	return v
}

// mapping makes one of device-mapper's until the test ends. The node has no udev:
// dmsetup makes its nodes itself.
func mapping(t testing.TB, name, table string) string {
	t.Helper()
	const noUdev = "DM_DISABLE_UDEV=1"
	must(t, "env", noUdev, "dmsetup", "create", name, "--table", table)
	t.Cleanup(func() { must(t, "env", noUdev, "dmsetup", "remove", name) })
	return filepath.Join("/dev/mapper", name)
}
