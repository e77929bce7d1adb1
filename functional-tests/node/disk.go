// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Disk is a sparse disk that a test wants in its node.
type Disk struct {
	// Serial number as the node's kernel sees it.
	Serial string
	// Size in bytes.
	Size int64
	// Bus is "scsi" (virtio-scsi) or "virtio" (virtio-blk).
	Bus string
}

// ParseDisks reads a list of disks: "serial=tes-1,size=64G,bus=scsi;serial=…".
func ParseDisks(list string) ([]Disk, error) {
	var disks []Disk
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ' ' }) {
		disk, err := parseDisk(text)
		if err != nil {
			return nil, fmt.Errorf("disk %q: %w (expected serial=NAME,size=64G,bus=scsi or bus=virtio)", text, err)
		}
		disks = append(disks, disk)
	}
	return disks, nil
}

func parseDisk(text string) (Disk, error) {
	disk := Disk{Bus: "scsi"}
	for _, field := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "serial":
			disk.Serial = value
		case "bus":
			disk.Bus = value
		case "size":
			size, err := parseSize(value)
			if err != nil {
				return Disk{}, err
			}
			disk.Size = size
		default:
			return Disk{}, fmt.Errorf("unknown key %q", key)
		}
	}
	switch {
	case disk.Serial == "" || disk.Size <= 0:
		return Disk{}, fmt.Errorf("serial and size are needed")
	case disk.Bus != "scsi" && disk.Bus != "virtio":
		return Disk{}, fmt.Errorf("unknown bus %q", disk.Bus)
	}
	return disk, nil
}

func parseSize(text string) (int64, error) {
	shift := 0
	switch {
	case strings.HasSuffix(text, "M"):
		shift = 20
	case strings.HasSuffix(text, "G"):
		shift = 30
	}
	number, err := strconv.ParseInt(strings.TrimRight(text, "MG"), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("size %q: %w", text, err)
	}
	return number << shift, nil
}

// create makes the disk's sparse file.
func (d Disk) create(folder string, number int) (string, error) {
	path := filepath.Join(folder, fmt.Sprintf("disk%d.img", number))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("making a disk: %w", err)
	}
	if err := f.Truncate(d.Size); err != nil {
		_ = f.Close()
		return "", fmt.Errorf("making a disk of %d bytes: %w", d.Size, err)
	}
	return path, f.Close()
}

// arguments attach the disk's file.
func (d Disk) arguments(path string, number int) []string {
	id := fmt.Sprintf("extra%d", number)
	device := fmt.Sprintf("virtio-blk-pci,drive=%s,serial=%s", id, d.Serial)
	if d.Bus == "scsi" {
		device = fmt.Sprintf("scsi-hd,bus=extra.0,drive=%s,serial=%s", id, d.Serial)
	}
	return []string{"-drive", "if=none,id=" + id + ",format=raw,cache=unsafe,discard=unmap,file=" + path, "-device", device}
}
