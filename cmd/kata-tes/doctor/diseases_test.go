// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage"
	"github.com/kata-tes/kata-tes/shim/report"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// disease is something that is wrong with a node, and what must be said of it.
type disease struct {
	make    func(f *fake)
	check   string
	outcome Outcome
	// words are of the detail and of the remedy.
	words, remedy string
}

var diseases = map[string]disease{
	"not root":      {func(f *fake) { f.live.user = func() int { return 1000 } }, "root rights", Wrong, "user 1000", "as root"},
	"no kvm":        {func(f *fake) { f.broken["/dev/kvm"] = fs.ErrNotExist }, "KVM", Wrong, "/dev/kvm does not exist", "modprobe"},
	"kvm forbidden": {func(f *fake) { f.broken["/dev/kvm"] = fs.ErrPermission }, "KVM", Unknown, "by this user", "as root"},
	"no vsock":      {func(f *fake) { f.broken["/dev/vhost-vsock"] = syscall.ENODEV }, "vhost-vsock", Wrong, "no such device", "modprobe vhost_vsock"},
	"vsock is busy": {func(f *fake) { f.broken["/dev/vhost-vsock"] = syscall.EBUSY }, "vhost-vsock", Wrong, "busy", "fuser"},
	"bad configuration": {
		func(f *fake) { f.write(ourConfig, "[defaults]\nnonsense = 1\n") },
		"configuration", Wrong, `unknown key "defaults.nonsense"`, "correct the file",
	},

	"no containerd":         {func(f *fake) { f.remove(containerdConfig) }, "configuration", Wrong, "containerd was not found", "--containerd-config"},
	"containerd's nonsense": {func(f *fake) { f.write(containerdConfig, "version = [") }, "configuration", Wrong, "cannot be read", "containerd config dump"},
	"no containerd binary":  {func(f *fake) { f.remove("/usr/bin/containerd") }, "version", Unknown, "not found in PATH", "/usr/bin"},
	"containerd is down":    {func(f *fake) { f.remove("/proc/77") }, "process", Wrong, "no process called containerd", "systemctl start"},
	"no processes seen":     {func(f *fake) { f.remove("/proc") }, "process", Unknown, "can't be seen", "/proc"},
	"not restarted": {
		func(f *fake) { f.edit("/proc/stat", "4102444800", "100") }, "process", Warning,
		containerdConfig + " was written after containerd had been started", "systemctl restart containerd",
	},
	"not installed": {
		func(f *fake) { f.edit(containerdConfig, "kata-tes.v2", "kata.v2") }, "handler", Wrong,
		"none runs behind kata-tes; handlers that run Kata Containers: " + runtime, "kata-tes install --runtime " + runtime,
	},
	"no Kata": {
		func(f *fake) { f.edit(containerdConfig, "io.containerd.kata-tes.v2", "io.containerd.runc.v2") }, "handler", Wrong,
		"no handler of this node runs Kata", "kata-deploy",
	},

	"another runtime": {
		func(f *fake) { f.runtimes = []string{"runc"} }, "runtime", Wrong, "it runs io.containerd.runc.v2", "a handler of Kata",
	},
	"not Kata":           {func(f *fake) { f.runtimes = []string{"runc"} }, "Kata configuration", Wrong, "does not run Kata", "a handler of Kata"},
	"no shim":            {func(f *fake) { f.remove(ourShim) }, "shim", Wrong, "finds no containerd-shim-kata-tes-v2 in its PATH", "/usr/local/bin"},
	"shim not runnable":  {func(f *fake) { f.chmod(ourShim, 0o644) }, "shim", Wrong, "finds no", "0755"},
	"shim is everyone's": {func(f *fake) { f.chmod(ourShim, 0o777) }, "shim", Wrong, "others may write", "chmod 0755 " + ourShim},
	"shim outside of PATH": {
		func(f *fake) { f.edit("/proc/77/environ", "/usr/local/bin:", "") }, "shim", Wrong, "not in the PATH with which containerd", "extend",
	},
	"shim of another release": {func(f *fake) { f.says[ourShim] = "x:\n  Version:  0.9\n" }, "shim's version", Wrong, "is 0.9, and this kata-tes is 1.2.3", "same release"},
	"shim without a version":  {func(f *fake) { f.says[ourShim] = "hello" }, "shim's version", Wrong, "no version", "same release"},
	"shim that fails":         {func(f *fake) { delete(f.says, ourShim) }, "shim's version", Wrong, "cannot be run", "same release"},
	"sandbox API": {
		func(f *fake) { f.edit(containerdConfig, "  pod_annot", "  sandboxer = \"shim\"\n  pod_annot") }, "sandbox API", Wrong, `"shim"`, "podsandbox",
	},
	"host's devices": {
		func(f *fake) { f.edit(containerdConfig, "privileged_without_host_devices = true", "") }, "host's devices", Warning, "privileged", "= true",
	},
	"no Kata configuration": {func(f *fake) { f.remove(kataConfig) }, "Kata configuration", Wrong, kataConfig + ", which the handler's ConfigPath names", "ConfigPath"},
	"Kata's nonsense":       {func(f *fake) { f.write(dropIn, "[") }, "Kata configuration", Wrong, dropIn, "correct"},
	"another hypervisor":    {func(f *fake) { f.write(kataConfig, "[hypervisor.clh]\n"); f.remove(dropIn) }, "Kata configuration", Wrong, "for clh", "with QEMU"},
	"no inner shim":         {func(f *fake) { f.remove(innerShim) }, "Kata's own shim", Wrong, "names no inner_shim", "inner_shim"},
	"the Rust runtime": {
		func(f *fake) {
			f.says[innerShim] = "Kata Containers containerd shim (Rust): id: io.containerd.kata.v2, version: 4.1.0, commit: 7c6ba40\n"
		}, "Kata's own shim", Wrong, "is Kata's Rust runtime 4.1.0", "Go runtime",
	},
	"another's shim":    {func(f *fake) { f.says[innerShim] = "runc\n" }, "Kata's own shim", Wrong, "as no shim of Kata", "inner_shim"},
	"a shim that fails": {func(f *fake) { delete(f.says, innerShim) }, "Kata's own shim", Wrong, "cannot be run", "inner_shim"},
	"no drop-in":        {func(f *fake) { f.remove(dropIn) }, "hypervisor", Wrong, "Kata starts " + qemu + " itself", "kata-tes install --runtime " + runtime},
	"overridden drop-in": {
		func(f *fake) {
			f.write("/opt/kata/share/defaults/kata-containers/config.d/90-local.toml", "[hypervisor.qemu]\npath = \""+qemu+"\"\n")
		}, "hypervisor", Wrong, "90-local.toml comes after our drop-in", "sorts behind",
	},
	"no wrapper":            {func(f *fake) { f.remove(wrapper) }, "monitor wrapper", Wrong, wrapper, "kata-tes install"},
	"wrapper is everyone's": {func(f *fake) { f.chmod(wrapper, 0o757) }, "monitor wrapper", Wrong, "others may write", "chmod"},
	"wrapper not among the paths": {
		func(f *fake) { f.edit(dropIn, "valid_hypervisor_paths", "#") }, "hypervisor's paths", Warning, "lacks " + wrapper, "valid_hypervisor_paths",
	},
	"annotations choose": {
		func(f *fake) {
			f.edit(kataConfig, `"kernel_params"`, `"path"`)
			f.edit(dropIn, `["`+wrapper, `["/usr/bin/qemu", "`+wrapper)
		}, "hypervisor's paths", Warning, "may choose another hypervisor", "enable_annotations",
	},
	"no QEMU":         {func(f *fake) { f.remove(qemu) }, "QEMU", Wrong, "none was found", "install Kata's QEMU"},
	"old QEMU":        {func(f *fake) { f.says[qemu] = "QEMU emulator version 4.2.1\n" }, "QEMU", Wrong, "4.2.1", "install"},
	"older QEMU":      {func(f *fake) { f.says[qemu] = "QEMU emulator version 6.2.0 (Debian)\n" }, "QEMU", Warning, "tested from 7 on", ""},
	"not a QEMU":      {func(f *fake) { f.says[qemu] = "bash" }, "QEMU", Wrong, "as no QEMU does", "install"},
	"QEMU that fails": {func(f *fake) { delete(f.says, qemu) }, "QEMU", Wrong, "cannot be run", "install"},
	"image without the agent": {
		func(f *fake) {
			f.image.Checks = append(f.image.Checks, guestimage.Check{Name: "kata-tes-agent", State: guestimage.Missing, Found: "there is no program", Remedy: "put it in"},
				guestimage.Check{Name: "unit", State: guestimage.Missing})
		}, "guest image", Wrong, "kata-tes-agent: there is no program (and 1 more", "put it in",
	},
	"no image":        {func(f *fake) { f.imageErr = fs.ErrNotExist }, "guest image", Wrong, "is not there", "correct"},
	"odd image":       {func(f *fake) { f.imageErr = errors.New("not an image") }, "guest image", Unknown, "can't be looked into: not an image", "--verify"},
	"image not named": {func(f *fake) { f.edit(kataConfig, "image = ", "# ") }, "guest image", Wrong, "names no guest image", "initrd"},
	"nvdimm":          {func(f *fake) { f.edit(kataConfig, "virtio-scsi", "nvdimm") }, "disk driver", Wrong, "nvdimm", "virtio-scsi"},
	"no bridge": {
		func(f *fake) {
			f.edit(kataConfig, "virtio-scsi", "virtio-blk")
			f.edit(kataConfig, "default_bridges = 1", "default_bridges = 0")
		}, "disk driver", Wrong, "without a bridge", "virtio-scsi",
	},
	"rootless": {func(f *fake) { f.edit(kataConfig, "default_bridges", "rootless = true\ndefault_bridges") }, "root rights of QEMU", Wrong, "another user", "rootless = false"},
	"no TDX":   {func(f *fake) { f.write("/sys/module/kvm_intel/parameters/tdx", "N\n") }, "confidential guest", Warning, "neither TDX", "firmware"},
	"no guest pull": {
		func(f *fake) { f.edit(kataConfig, "experimental_force_guest_pull = true", "") }, "images in the guest", Warning, "not on the store", "nydus",
	},
	"impatient kubelet": {
		func(f *fake) { f.edit("/var/lib/kubelet/config.yaml", "10m0s", "1m") }, "time limits", Wrong, "may take 1m55s", "runtimeRequestTimeout",
	},
	"patient Kata": {func(f *fake) { f.edit(kataConfig, "create_container_timeout = 60", "create_container_timeout = 601") }, "time limits", Warning, "10m1s", "raise"},
	"no time for a container": {
		func(f *fake) { f.edit(kataConfig, "create_container_timeout = 60", "") }, "time limits", Wrong, "no container any time", "create_container_timeout",
	},
	"nonsense of the kubelet": {
		func(f *fake) { f.edit("/var/lib/kubelet/config.yaml", "10m0s", "10") }, "time limits", Unknown, "is no time", "correct",
	},

	"run folder is everyone's": {func(f *fake) { f.told = nil; f.chmod("/run/kata-tes", 0o777) }, "folder of the sandboxes", Wrong, "others may write", "0711"},
	"run folder is a file": {
		func(f *fake) { f.told = nil; f.remove("/run/kata-tes"); f.write("/run/kata-tes", "") }, "folder of the sandboxes", Wrong, "not a folder", "remove",
	},
	"metrics are hidden": {func(f *fake) { f.chmod("/run/kata-tes/_metrics", 0o700) }, "metrics", Warning, "mode 0700", "chmod o+rx"},
	"metrics are a folder": {func(f *fake) {
		f.remove("/run/kata-tes/_metrics/kata-tes.prom")
		f.write("/run/kata-tes/_metrics/kata-tes.prom/x", "")
	}, "metrics", Wrong, "not a regular file", "remove"},
	"sandboxes can't be listed": {
		func(f *fake) { f.told = nil; f.remove("/run/kata-tes"); f.write("/run/kata-tes", "") }, "running sandboxes", Unknown, "listing", "as root",
	},

	"older process": {func(f *fake) { f.told.Shim = "1.0" }, "process", Warning, "runs kata-tes 1.0", "create it again"},
	"process of an older release": {
		func(f *fake) { f.told = nil; f.write("/run/kata-tes/"+sandboxID+"/sandbox.json", "{}") }, "process", Warning, "no status socket", "remove /run/kata-tes/" + sandboxID,
	},
	"store of an older release": {
		func(f *fake) { f.told = nil; f.write("/run/kata-tes/"+sandboxID+"/sandbox.json", "{}") }, "store", Warning, "not known", "create it again",
	},
	"process is lost":           {func(f *fake) { f.told = nil; f.killed() }, "process", Wrong, "has ended", "delete the pod"},
	"store of a lost process":   {func(f *fake) { f.told = nil; f.killed() }, "store", Unknown, "does not tell", "see the check of the process"},
	"guest without a way to it": {func(f *fake) { f.machineFails(vcext.ErrNoMonitor) }, "guest", Unknown, "no monitor leads", "monitor"},
	"guest that doesn't listen": {func(f *fake) { f.guest = nil; f.live.machine = nowhere }, "guest", Wrong, "does not answer", "journal"},
	"no monitor": {
		func(f *fake) { f.machineFails(vcext.ErrNoMonitor) }, "monitor", Wrong, vcext.ErrNoMonitor.Error(), "delete the pod",
	},
	"no guest address": {func(f *fake) { f.machineFails(vcext.ErrNoGuestAddress) }, "guest", Unknown, "address is not known", "monitor"},
	"no agent":         {func(f *fake) { f.guest = nil; f.write("guest", "") }, "guest", Wrong, "no kata-tes-agent", "kata-tes guest-image"},
	"other protocol":   {func(f *fake) { f.guest.protocol = 9 }, "guest", Wrong, "speaks protocol 9", "kata-tes guest-image"},
	"failed store": {
		func(f *fake) { f.told.Store = report.Store{State: "failed", Reason: "too small"} }, "store", Warning, "failed: too small", "kubectl describe",
	},
	"guest disagrees": {
		func(f *fake) { f.told.Store.Guest.Problem = "the guest does not have this store" }, "store", Wrong, "does not have", "delete the pod",
	},
}

// killed leaves a socket at which nobody listens any more.
func (f *fake) killed() {
	f.write("/run/kata-tes/"+sandboxID+"/sandbox.json", "{}")
	l, err := net.Listen("unix", f.path("/run/kata-tes/"+sandboxID+"/status.sock"))
	require.NoError(f.t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(f.t, l.Close())
}

// nowhere is the address of a guest that isn't one.
func nowhere(context.Context, string) (string, error) { return "vsock://1:1024", nil }

func (f *fake) machineFails(err error) {
	f.live.machine = func(context.Context, string) (string, error) { return "", fmt.Errorf("looking: %w", err) }
}
