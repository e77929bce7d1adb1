// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"fmt"
	"strings"
)

// Ids that Kata gives to its own parts (virtcontainers/qemu.go, types/pci.go).
const (
	scsiController = "scsi0"
	pciBridge      = "pci-bridge-0"
)

// place is where in the machine a disk goes, as arguments of device_add.
type place map[string]any

// scsiPlace: Kata hands out scsi-id index/256 and lun index%256 from 0 up, and
// stops at index 65534, one before this.
var scsiPlace = place{"driver": "scsi-hd", "bus": scsiController + ".0", "scsi-id": 255, "lun": 255}

// pciPlace: Kata hands out the slots 1 to 30 of a bridge; 31 is the last one.
var pciPlace = place{"driver": "virtio-blk-pci", "bus": pciBridge, "addr": "0x1f"}

// choosePlace asks QEMU itself, not Kata's configuration, which annotations may
// override: with block_device_driver virtio-scsi there is a SCSI controller,
// with virtio-blk there is none.
func (m machine) choosePlace(ctx context.Context) (place, error) {
	devices, err := m.peripherals(ctx)
	if err != nil {
		return nil, err
	}
	return placeAmong(devices)
}

func placeAmong(devices map[string]string) (place, error) {
	switch {
	case strings.HasPrefix(devices[scsiController], "virtio-scsi"):
		return scsiPlace, nil
	case devices[pciBridge] == "pci-bridge":
		return pciPlace, nil
	}
	return nil, fmt.Errorf(`%w: neither %s nor %s; set block_device_driver = "virtio-scsi" in Kata's [hypervisor.qemu]`,
		ErrNoController, scsiController, pciBridge)
}

// device are the arguments of device_add for a disk on the block node of the
// same name. Sector sizes stay at 512 bytes: a mapping with larger sectors
// works on them as well, and the guest chooses those itself.
func (p place) device(marker string) map[string]any {
	args := map[string]any{
		"id": marker, "drive": marker, "serial": marker,
		// Every error is the guest's affair. By default a disk without room (a
		// thin pool that is full) stops the whole virtual machine, the agents
		// in it and so the pod's deletion, until somebody resumes it.
		"werror": "report", "rerror": "report",
	}
	for k, v := range p {
		args[k] = v
	}
	return args
}
