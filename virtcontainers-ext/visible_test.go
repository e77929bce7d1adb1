// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// guestView is all that QEMU would tell of what it shows to the guest, and the
// ACPI tables as the firmware found them.
func guestView(t *testing.T, c *qmp.Conn, dir string) map[string]string {
	t.Helper()
	view := map[string]string{}
	for _, what := range []string{"info qtree", "info pci", "info mtree", "info roms", "info ramblock", "info irq", "info usb"} {
		var text string
		require.NoError(t, c.Execute(t.Context(), "human-monitor-command", map[string]string{"command-line": what}, &text))
		// Sorted, because QEMU lists address spaces in no particular order.
		lines := strings.Split(addresses.ReplaceAllString(text, ""), "\n")
		slices.Sort(lines)
		view[what] = strings.Join(lines, "\n")
	}
	require.NoError(t, c.Execute(t.Context(), "cont", nil, nil))
	require.Eventually(t, func() bool {
		memory := filepath.Join(dir, "memory")
		err := c.Execute(t.Context(), "pmemsave", map[string]any{"val": 0, "size": 64 << 20, "filename": memory}, nil)
		content, readErr := os.ReadFile(memory)
		for signature, table := range acpiTables(content) {
			view[signature] = table
		}
		// The root table is the last one that the firmware makes.
		return err == nil && readErr == nil && view["RSDT"] != "" && view["DSDT"] != "" && view["FACP"] != ""
	}, 20*time.Second, 100*time.Millisecond, "the firmware's tables")
	return view
}

// acpiTables finds the tables in a guest's memory: signature, length, and a sum
// of zero (ACPI 6.5, 5.2.6).
func acpiTables(memory []byte) map[string]string {
	tables := map[string]string{}
	for _, signature := range []string{"RSDT", "FACP", "DSDT", "APIC", "HPET", "MCFG", "WAET"} {
		for at := 0; ; at++ {
			next := bytes.Index(memory[at:], []byte(signature))
			if next < 0 || len(memory)-at-next < 36 {
				break
			}
			at += next
			length := binary.LittleEndian.Uint32(memory[at+4:])
			if length < 36 || uint64(length) > uint64(len(memory)-at) {
				continue
			}
			table := memory[at : at+int(length)]
			var sum byte
			for _, b := range table {
				sum += b
			}
			if sum == 0 {
				tables[signature] = string(table)
			}
		}
	}
	return tables
}

// addresses are QEMU's own pointers, which differ from run to run.
var addresses = regexp.MustCompile(`0x[0-9a-f]{12,16}\b`)

// viewOf starts QEMU with or without the wrapper and looks at it.
func viewOf(t *testing.T, qemu string, monitor bool) (view map[string]string, chardevs string) {
	t.Helper()
	root := shortDir(t)
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	require.NoError(t, rundir.Create(root, id, rundir.Sandbox{Hypervisor: qemu}))
	program, args := qemu, []string{
		"-name", "sandbox-" + id, "-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none", "-S",
		"-qmp", "unix:" + filepath.Join(root, "kata.sock") + ",server=on,wait=off",
	}
	if monitor {
		program = os.Args[0]
	}
	cmd := exec.Command(program, append(args, scsi...)...)
	cmd.Env = append(os.Environ(), wrapEnv+"="+root)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var c *qmp.Conn
	require.Eventually(t, func() bool {
		var err error
		c, err = qmp.Dial(t.Context(), filepath.Join(root, "kata.sock"))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	defer func() { require.NoError(t, c.Close()) }()
	require.NoError(t, c.Execute(t.Context(), "human-monitor-command", map[string]string{"command-line": "info chardev"}, &chardevs))
	return guestView(t, c, root), chardevs
}

// A monitor must not change anything that the guest sees, or could measure.
func TestGuestSeesNothingOfTheMonitor(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("needs qemu-system-x86_64 (package qemu-system-x86)")
	}
	without, before := viewOf(t, qemu, false)
	with, after := viewOf(t, qemu, true)
	require.NotContains(t, before, "tes-monitor")
	require.Contains(t, after, "tes-monitor", "the monitor is there")
	require.Len(t, with, len(without))
	for what, text := range without {
		require.NotEmpty(t, text)
		require.True(t, text == with[what], "%s differs:\n%.300q\n---\n%.300q", what, text, with[what])
	}
	require.True(t, strings.Contains(with["info qtree"], "virtio-scsi"), "and the view shows devices")
}
