// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// deviceLimit is how long a hotplugged disk may take to appear.
const deviceLimit = 10 * time.Second

// Devices finds the disks that Kata's runtime has plugged for a container, and
// puts the guest's numbers into its specification in the place of the host's.
// Every device of the specification is then allowed to it.
func Devices(ctx context.Context, sysfs string, devices []*agent.Device, spec *specs.Spec) error {
	for _, device := range devices {
		major, minor, err := findDisk(ctx, sysfs, device)
		if err != nil {
			return fmt.Errorf("device %s: %w", device.ContainerPath, err)
		}
		for i := range spec.Linux.Devices {
			if spec.Linux.Devices[i].Path == device.ContainerPath {
				spec.Linux.Devices[i].Major, spec.Linux.Devices[i].Minor = major, minor
			}
		}
	}
	if len(spec.Linux.Devices) > 0 && spec.Linux.Resources == nil {
		spec.Linux.Resources = &specs.LinuxResources{}
	}
	for _, device := range spec.Linux.Devices {
		spec.Linux.Resources.Devices = append(spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: device.Type, Major: &device.Major, Minor: &device.Minor, Access: "rwm",
		})
	}
	return nil
}

// findDisk waits for a disk and gives its numbers.
func findDisk(ctx context.Context, sysfs string, device *agent.Device) (major, minor int64, err error) {
	var pattern string
	switch device.Type {
	case "scsi":
		if pattern, err = scanSCSI(sysfs, device.Id); err != nil {
			return 0, 0, err
		}
	case "blk":
		pattern = pciPattern(sysfs, device.Id)
	default:
		return 0, 0, fmt.Errorf("the stand-in for kata-agent has no handler for devices of type %q", device.Type)
	}
	ctx, cancel := context.WithTimeout(ctx, deviceLimit)
	defer cancel()
	for {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return 0, 0, err
		}
		if len(found) == 1 {
			return readNumbers(found[0])
		}
		select {
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("no disk at %s address %s: %w", device.Type, device.Id, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// scanSCSI asks for the one address, an id and a lun: Kata's guests boot with
// scsi_mod.scan=none.
func scanSCSI(sysfs, address string) (string, error) {
	id, lun, ok := strings.Cut(address, ":")
	if _, err := strconv.Atoi(id); !ok || err != nil {
		return "", fmt.Errorf("%q is no SCSI address", address)
	}
	if _, err := strconv.Atoi(lun); err != nil {
		return "", fmt.Errorf("%q is no SCSI address", address)
	}
	hosts, err := filepath.Glob(filepath.Join(sysfs, "class/scsi_host/host*/scan"))
	if err != nil {
		return "", err
	}
	for _, host := range hosts {
		if err := os.WriteFile(host, []byte("0 "+id+" "+lun), 0o200); err != nil {
			return "", fmt.Errorf("looking for SCSI disks: %w", err)
		}
	}
	return filepath.Join(sysfs, "class/scsi_device/*:0:"+id+":"+lun+"/device/block/*/dev"), nil
}

// pciPattern is where a virtio disk appears that is plugged at a path of slots,
// as Kata writes it: "02/01" is slot 1 behind the bridge in slot 2.
func pciPattern(sysfs, path string) string {
	pattern := filepath.Join(sysfs, "devices/pci0000:00")
	for _, slot := range strings.Split(path, "/") {
		pattern = filepath.Join(pattern, "0000:*:"+filepath.Base(slot)+".0")
	}
	return filepath.Join(pattern, "virtio*/block/*/dev")
}

// readNumbers reads sysfs' "8:0".
func readNumbers(file string) (major, minor int64, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	first, second, _ := strings.Cut(strings.TrimSpace(string(content)), ":")
	major, failed := strconv.ParseInt(first, 10, 32)
	minor, err = strconv.ParseInt(second, 10, 32)
	return major, minor, errors.Join(failed, err)
}
