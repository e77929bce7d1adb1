// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	someMarker  = "tes-0123456789abcdef"
	otherMarker = "tes-fedcba9876543210"
)

// tree is a sysfs, procfs and /dev in a temporary directory.
type tree struct {
	System
	t *testing.T
}

func newTree(t *testing.T) tree {
	t.Helper()
	root := t.TempDir()
	tr := tree{t: t, System: System{
		Sysfs: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), Dev: filepath.Join(root, "dev"), Nodes: filepath.Join(root, "nodes"),
	}}
	tr.mkdir(tr.Sysfs, "block")
	tr.mkdir(tr.Dev)
	tr.write("22 1 0:21 / /run rw - tmpfs tmpfs rw\n", tr.Proc, "self", "mountinfo")
	return tr
}

func (tr tree) mkdir(path ...string) {
	tr.t.Helper()
	require.NoError(tr.t, os.MkdirAll(filepath.Join(path...), 0o755))
}

func (tr tree) write(text string, path ...string) {
	tr.t.Helper()
	tr.mkdir(filepath.Dir(filepath.Join(path...)))
	require.NoError(tr.t, os.WriteFile(filepath.Join(path...), []byte(text), 0o600))
}

// set changes an attribute of a disk.
func (tr tree) set(name, attribute, text string) {
	tr.t.Helper()
	tr.write(text, tr.Sysfs, "block", name, attribute)
}

// disk adds a disk of 64 MiB without a serial number.
func (tr tree) disk(name, number string) {
	tr.t.Helper()
	for attribute, text := range map[string]string{"dev": number, "ro": "0", "removable": "0", "size": "131072"} {
		tr.set(name, attribute, text+"\n")
	}
	tr.mkdir(tr.Sysfs, "block", name, "holders")
}

func (tr tree) scsi(name, number, serial string) {
	tr.t.Helper()
	tr.disk(name, number)
	tr.set(name, "device/vpd_pg80", page(serial))
}

func (tr tree) virtio(name, number, serial string) {
	tr.t.Helper()
	tr.disk(name, number)
	tr.set(name, "serial", serial)
}

// page is a vital product data page with a serial number.
func page(serial string) string {
	return fmt.Sprintf("\x00\x80%c%c%s", len(serial)>>8, len(serial)&0xff, serial)
}
