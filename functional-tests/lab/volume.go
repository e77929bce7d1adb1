// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// VolumeGroup is LVM's on a loop device on a sparse file.
type VolumeGroup struct {
	Name string
}

// Volume is a logical volume: what a local PersistentVolume is made of.
type Volume struct {
	// Path is /dev/<group>/<name>, a symbolic link.
	Path         string
	Major, Minor uint32
	// Size in bytes.
	Size int64
}

// NewVolumeGroup makes one that holds as many bytes of volumes.
func NewVolumeGroup(t testing.TB, name string, size int64) *VolumeGroup {
	t.Helper()
	NeedNode(t)
	// 16 MiB for LVM's own.
	if err := sparse(groupPath(name), size+16<<20); err != nil {
		t.Fatal(err)
	}
	g := &VolumeGroup{Name: name}
	must(t, "vgcreate", "--quiet", name, g.attach(t))
	t.Cleanup(func() { must(t, "vgremove", "--quiet", "--force", "--yes", name) })
	return g
}

// FindVolumeGroup finds one of a boot before this one, and its volumes; the
// group is removed when the test ends. A node whose group lies on a disk has it
// without asking.
func FindVolumeGroup(t testing.TB, name string) *VolumeGroup {
	t.Helper()
	NeedNode(t)
	g := &VolumeGroup{Name: name}
	g.attach(t)
	must(t, "vgchange", "--quiet", "--activate", "y", name)
	t.Cleanup(func() { must(t, "vgremove", "--quiet", "--force", "--yes", name) })
	return g
}

// attach gives the group's loop device.
func (g *VolumeGroup) attach(t testing.TB) string {
	t.Helper()
	t.Cleanup(func() { cleaned(t, os.Remove(groupPath(g.Name))) })
	loop := must(t, "losetup", "--find", "--show", groupPath(g.Name))
	t.Cleanup(func() { must(t, "losetup", "--detach", loop) })
	return loop
}

// groupPath is not in the test's temporary folder: that is memory.
func groupPath(name string) string { return filepath.Join("/var/lib", "tes-"+name+".img") }

// Create makes a volume for a test, zeroed at its start as LVM does, and removes
// it when the test ends.
func (g *VolumeGroup) Create(t testing.TB, name string, size int64) Volume {
	t.Helper()
	v, err := g.Make(name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cleaned(t, v.Remove()) })
	return v
}

// Make makes a volume that the caller removes.
func (g *VolumeGroup) Make(name string, size int64) (Volume, error) {
	if _, err := run("lvcreate", "--quiet", "--yes", "--name", name, "--size", strconv.FormatInt(size, 10)+"b", g.Name); err != nil {
		return Volume{}, err
	}
	return g.find(name, size)
}

// Find finds a volume of a boot before this one.
func (g *VolumeGroup) Find(t testing.TB, name string, size int64) Volume {
	t.Helper()
	v, err := g.find(name, size)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (g *VolumeGroup) find(name string, size int64) (Volume, error) {
	v := Volume{Path: filepath.Join("/dev", g.Name, name), Size: size}
	var stat unix.Stat_t
	if err := unix.Stat(v.Path, &stat); err != nil {
		return Volume{}, fmt.Errorf("volume %s: %w", v.Path, err)
	}
	v.Major, v.Minor = unix.Major(stat.Rdev), unix.Minor(stat.Rdev)
	return v, nil
}

// Remove removes the volume, which LVM refuses while anybody has it open.
func (v Volume) Remove() error {
	_, err := run("lvremove", "--quiet", "--yes", v.Path)
	return err
}

// Hold attaches a loop device to the volume, as the kubelet does as long as the
// volume is mapped to a pod.
func (v Volume) Hold(t testing.TB) {
	t.Helper()
	loop := must(t, "losetup", "--find", "--show", v.Path)
	t.Cleanup(func() { must(t, "losetup", "--detach", loop) })
}

// Slow lets everything that is read from or written to the volume take that
// much longer, until the test ends or the volume is removed.
func (v Volume) Slow(t testing.TB, by time.Duration) {
	t.Helper()
	v.replace(t, "delay", func(disk, offset string) string {
		return fmt.Sprintf("delay %s %s %d", disk, offset, by.Milliseconds())
	})
}

func (v Volume) remap(t testing.TB, table string) {
	t.Helper()
	must(t, "dmsetup", "load", v.Path, "--table", table)
	must(t, "dmsetup", "suspend", v.Path)
	must(t, "dmsetup", "resume", v.Path)
}

// OpenCount is how often the volume is open.
func (v Volume) OpenCount() (int, error) {
	output, err := run("dmsetup", "info", "--columns", "--noheadings", "--options", "open",
		"--major", fmt.Sprint(v.Major), "--minor", fmt.Sprint(v.Minor))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(output))
}

// ExclusivelyFree says whether an exclusive open succeeds: nobody has claimed
// the volume.
func (v Volume) ExclusivelyFree() (bool, error) {
	f, err := os.OpenFile(v.Path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

func sparse(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// must runs a program that has to succeed and gives what it printed.
func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	output, err := run(name, args...)
	if err != nil {
		t.Errorf("%v", err)
		// In a cleanup, the ones after it shall still run.
		t.FailNow()
	}
	return strings.TrimSpace(output)
}

func cleaned(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("cleaning up: %v", err)
	}
}
