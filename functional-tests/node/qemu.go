// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// qemuPath is where Debian's qemu-system-x86 has it.
const qemuPath = "qemu-system-x86_64"

// accelerator says how the node's cpu is made. /dev/kvm alone proves nothing:
// there are machines where it exists and every guest hangs. The cpu's flags
// and the module's `nested` say whether the node could run machines of its own.
func accelerator() []string {
	if nestedKVM() {
		return []string{"-machine", "q35,accel=kvm", "-cpu", "host"}
	}
	return []string{"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt"}
}

var virtualization = regexp.MustCompile(`(?m)^flags\s*:.*\b(svm|vmx)\b`)

func nestedKVM() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !virtualization.Match(info) {
		return false
	}
	nested := false
	for _, module := range []string{"kvm_intel", "kvm_amd"} {
		value, err := os.ReadFile("/sys/module/" + module + "/parameters/nested")
		nested = nested || err == nil && strings.ContainsAny(string(value), "Y1")
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return device.Close() == nil && nested
}

// arguments are QEMU's. One cpu: with two, an emulated node hangs or panics in
// nested virtualization now and then, and is no faster.
func (n *Node) arguments(port int) []string {
	c := n.config
	root := "if=none,id=root,format=raw,file=" + n.root
	if !c.KeepDisk {
		// Writes go to an unlinked file and are gone with QEMU.
		root += ",snapshot=on"
	}
	args := accelerator()
	args = append(args,
		"-smp", "1", "-m", fmt.Sprint(c.memory()),
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-device", "virtio-rng-pci",
		"-kernel", c.part("kernel", "vmlinuz"), "-initrd", c.part("disk", "initrd"),
		"-append", "console=ttyS0 panic=-1 net.ifnames=0 loglevel=4 systemd.show_status=0",
		// Devices of their own, because if=virtio would come after the
		// caller's disks: these two are vda and vdb.
		"-drive", root,
		"-device", "virtio-blk-pci,drive=root",
		"-drive", "if=none,id=payload,format=raw,readonly=on,file="+n.payload,
		"-device", "virtio-blk-pci,drive=payload",
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22", port),
		// No boot from the network: no ROM to run.
		"-device", "virtio-net-pci,netdev=net,romfile=",
	)
	if len(c.Disks) > 0 {
		args = append(args, "-device", "virtio-scsi-pci,id=extra")
	}
	for i, path := range n.disks {
		args = append(args, c.Disks[i].arguments(path, i)...)
	}
	return args
}
