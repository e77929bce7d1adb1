// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

const (
	targets = "/sys/kernel/config/target"
	gib     = 1 << 30
)

// loopDisk is a SCSI disk of the kernel's own target, with a sparse file in
// memory behind it: what the host sees of the volume.
type loopDisk struct {
	t            *testing.T
	marker       agentproto.Marker
	file         string
	core, fabric string
	attached     bool
}

var disks int

// newDisk makes a disk that is not yet attached.
func newDisk(t *testing.T, marker agentproto.Marker, size int64) *loopDisk {
	t.Helper()
	loadTarget(t)
	disks++
	d := &loopDisk{
		t: t, marker: marker,
		file:   filepath.Join(t.TempDir(), "volume"),
		core:   fmt.Sprintf("%s/core/fileio_0/disk%d", targets, disks),
		fabric: fmt.Sprintf("%s/loopback/naa.50014050000%05d/tpgt_1", targets, disks),
	}
	f, err := os.Create(d.file)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(size))
	require.NoError(t, f.Close())
	require.NoError(t, os.MkdirAll(d.core, 0o755))
	put(t, d.core+"/control", fmt.Sprintf("fd_dev_name=%s,fd_dev_size=%d", d.file, size))
	put(t, d.core+"/wwn/vpd_unit_serial", string(marker))
	put(t, d.core+"/enable", "1")
	require.NoError(t, os.MkdirAll(d.fabric+"/lun/lun_0", 0o755))
	put(t, d.fabric+"/nexus", fmt.Sprintf("naa.60014050000%05d", disks))
	t.Cleanup(d.remove)
	return d
}

// newAttachedDisk also waits until the kernel has it.
func newAttachedDisk(t *testing.T, marker agentproto.Marker, size int64) (*loopDisk, string) {
	t.Helper()
	d := newDisk(t, marker, size)
	before := sdNames(t)
	d.attach()
	var name string
	require.Eventually(t, func() bool {
		for _, n := range sdNames(t) {
			if !contains(before, n) {
				name = n
			}
		}
		return name != ""
	}, 30*time.Second, 20*time.Millisecond, "the disk does not appear")
	return d, "/dev/" + name
}

func (d *loopDisk) attach() {
	require.NoError(d.t, os.Symlink(d.core, d.fabric+"/lun/lun_0/disk"))
	d.attached = true
}

func (d *loopDisk) detach() {
	if d.attached {
		require.NoError(d.t, os.Remove(d.fabric+"/lun/lun_0/disk"))
		d.attached = false
	}
}

func (d *loopDisk) remove() {
	d.detach()
	for _, dir := range []string{d.fabric + "/lun/lun_0", d.fabric, filepath.Dir(d.fabric), d.core} {
		require.NoError(d.t, os.Remove(dir))
	}
}

// bytes are what the host can read.
func (d *loopDisk) grep(what string) bool {
	err := exec.Command("grep", "-q", "--binary-files=text", "-F", what, d.file).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false
	}
	require.NoError(d.t, err)
	return true
}

func loadTarget(t *testing.T) {
	t.Helper()
	run(t, "modprobe", "-a", "configfs", "target_core_mod", "target_core_file", "tcm_loop")
	if _, err := os.Stat(targets); err != nil {
		run(t, "mount", "-t", "configfs", "configfs", "/sys/kernel/config")
	}
	require.NoError(t, os.MkdirAll(targets+"/core/fileio_0", 0o755))
	require.NoError(t, os.MkdirAll(targets+"/loopback", 0o755))
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0))
}

func sdNames(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/sys/block/sd*")
	require.NoError(t, err)
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// run is a command that must succeed; it gives its output.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", program, strings.Join(args, " "), out)
	return string(out)
}
