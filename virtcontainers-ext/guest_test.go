// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// guestModules are what a guest needs for our disks, in order.
var guestModules = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
	"scsi_common", "scsi_mod", "sd_mod", "virtio_scsi", "virtio_blk",
}

// guestInit says which disks there are, each time that this changes: name,
// address, serial number, 512-byte sectors.
const guestInit = `#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
while read -r module; do busybox insmod /$module.ko || echo "insmod $module failed"; done < /modules
before=none
while :; do
	now=
	for disk in /sys/block/sd* /sys/block/vd*; do
		[ -e $disk/size ] || continue
		if [ -e $disk/serial ]; then serial=$(busybox cat $disk/serial)
		else serial=$(busybox dd if=$disk/device/vpd_pg80 bs=1 skip=4 2>/dev/null); fi
		address=$(busybox readlink $disk/device)
		now="$now ${disk##*/},${address##*/},$serial,$(busybox cat $disk/size)"
		[ -e /busy ] || { : > /busy; node=/dev/${disk##*/}; while [ -b $node ] && busybox dd if=/dev/zero of=$node bs=64k count=512 2>/dev/null; do :; done & }
	done
	[ "$now" = "$before" ] || echo "DISKS:$now:"
	before=$now
	busybox usleep 50000
done
`

// guest is a machine in which Debian's kernel runs.
type guest struct {
	*vm
	console string
}

// bootGuest boots the kernel of the test node with Kata's own parameter for
// SCSI. The first disk that it sees, it writes to all the time.
func bootGuest(t *testing.T, args ...string) guest {
	t.Helper()
	kernel := "../build/parts/kernel"
	if _, err := os.Stat(filepath.Join(kernel, "vmlinuz")); err != nil {
		t.Skip("needs a guest kernel in build/parts/kernel (make node)")
	}
	dir := t.TempDir()
	g := guest{console: filepath.Join(dir, "console")}
	g.vm = startVM(t, append([]string{
		"-m", "256",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initramfs(t, dir, kernel),
		"-append", "console=ttyS0 quiet panic=-1 scsi_mod.scan=none",
		"-chardev", "file,id=console,path=" + g.console, "-serial", "chardev:console",
	}, args...)...)
	g.requireDisks(t, 2*time.Minute, "^$")
	return g
}

func initramfs(t *testing.T, dir, kernel string) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox (package busybox-static)")
	}
	content, err := os.ReadFile(busybox)
	require.NoError(t, err)
	var archive bytes.Buffer
	// newc: Documentation/driver-api/early-userspace/buffer-format.rst
	add := func(name string, mode int, content []byte) {
		fmt.Fprintf(&archive, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			archive.Len(), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		archive.Write(make([]byte, -archive.Len()&3))
		archive.Write(content)
		archive.Write(make([]byte, -archive.Len()&3))
	}
	for _, folder := range []string{"bin", "dev", "proc", "sys"} {
		add(folder, 0o40755, nil)
	}
	add("bin/busybox", 0o100755, content)
	add("init", 0o100755, []byte(guestInit))
	add("modules", 0o100644, []byte(strings.Join(guestModules, "\n")+"\n"))
	for _, module := range guestModules {
		add(module+".ko", 0o100644, findModule(t, kernel, module))
	}
	add("TRAILER!!!", 0, nil)
	path := filepath.Join(dir, "initramfs")
	require.NoError(t, os.WriteFile(path, archive.Bytes(), 0o600))
	return path
}

func findModule(t *testing.T, kernel, name string) (content []byte) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join(kernel, "modules"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == name+".ko" {
			content, err = os.ReadFile(path)
		}
		return err
	}))
	require.NotEmpty(t, content, name)
	return content
}

var disksLine = regexp.MustCompile(`DISKS:([^\r\n:]*(?::[^\r\n]*)?):\r?\n`)

// requireDisks waits until the guest's last word on its disks matches.
func (g guest) requireDisks(t *testing.T, patience time.Duration, want string) {
	t.Helper()
	wanted := regexp.MustCompile(want)
	var console []byte
	matches := func() bool {
		var err error
		if console, err = os.ReadFile(g.console); err != nil {
			return false
		}
		said := disksLine.FindAllSubmatch(console, -1)
		return len(said) > 0 && wanted.Match(said[len(said)-1][1])
	}
	if !poll(patience, matches) {
		t.Fatalf("the guest's disks are not %s; its console:\n%s", want, console)
	}
}

func poll(patience time.Duration, done func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

// A real guest sees the disk by its marker, and gives it back while it writes.
func TestRunningGuest(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		seen string
	}{
		"scsi":       {scsi, "^ sd[a-z],0:0:255:255,%s,131072$"},
		"virtio-blk": {bridge, "^ vd[a-z],virtio[0-9]+,%s,131072$"},
	} {
		t.Run(name, func(t *testing.T) {
			g, d := bootGuest(t, c.args...), newDisk(t)
			for range 2 {
				marker := newMarker()
				begin := time.Now()
				require.NoError(t, d.attach(t.Context(), t, g.Sandbox, marker))
				attached := time.Since(begin)
				g.requireDisks(t, 20*time.Second, fmt.Sprintf(c.seen, marker))
				seen := time.Since(begin)
				require.True(t, d.claimed(t))

				begin = time.Now()
				require.NoError(t, g.Detach(t.Context(), marker))
				t.Logf("attached %v, seen after %v, detached %v", attached, seen, time.Since(begin))
				g.requireDisks(t, 20*time.Second, "^$")
				requireGone(t, g.vm, d)
			}
		})
	}
}
