// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// handler is one of containerd's, looked at by the checks below.
type handler struct {
	*doctor
	node.Handler
}

// handlerChecks are about what a pod of a handler needs, from containerd down to
// QEMU.
func (d *doctor) handlerChecks(found node.Handler) []check {
	h := handler{d, found}
	install := "kata-tes install --runtime " + h.Name
	on := about("handler " + h.Name)
	return []check{
		on("runtime", h.checkRuntime, install),
		on("shim", h.checkShim, "put "+node.ShimName+" into /usr/local/bin, mode 0755 ("+install+" does)"),
		on("shim's version", h.checkShimVersion, "install shim and kata-tes of the same release; pods that run keep theirs"),
		on("sandbox API", h.checkSandboxer, `remove sandboxer from the handler, or set it to "podsandbox"`),
		on("host's devices", h.checkPrivileged, "set privileged_without_host_devices = true for the handler"),
		on("Kata configuration", h.checkKata, "correct the file, or the handler's ConfigPath"),
		on("Kata's own shim", h.checkInnerShim, "install Kata's Go runtime and name its shim by inner_shim in /etc/kata-tes/config.toml"),
		on("hypervisor", h.checkHypervisor, install),
		on("monitor wrapper", h.checkWrapper, "put "+node.WrapperName+" where the Kata configuration names it, mode 0755 ("+install+" does)"),
		on("hypervisor's paths", h.checkPaths, "add the wrapper to valid_hypervisor_paths in the drop-in ("+install+" does)"),
		on("QEMU", h.checkQEMU, "install Kata's QEMU, or name one by hypervisor in /etc/kata-tes/config.toml"),
		on("guest image", h.checkImage, "kata-tes guest-image").within(imageLimit),
		on("disk driver", h.checkDriver, `set block_device_driver = "virtio-scsi" in [hypervisor.qemu] of the Kata configuration`),
		on("root rights of QEMU", h.checkRootless, "set rootless = false in [hypervisor.qemu] of the Kata configuration"),
		on("confidential guest", h.checkConfidential, "turn TDX or SEV-SNP on in firmware and kernel, or use a handler without it"),
		on("images in the guest", h.checkGuestPull, "set experimental_force_guest_pull = true in [runtime] of the Kata configuration, or the handler's snapshotter to nydus"),
		on("time limits", h.checkTimes, "raise runtimeRequestTimeout of the kubelet, or lower the timeouts in /etc/kata-tes/config.toml"),
	}
}

func (h handler) checkRuntime(context.Context) (string, error) {
	if h.Ours {
		return h.RuntimeType + " in " + h.File, nil
	}
	runs := h.RuntimeType
	if h.RuntimePath != "" {
		runs = h.RuntimePath
	}
	if h.Kata == nil && h.KataError == nil {
		return "", wrongf("use a handler of Kata Containers", "it runs %s (%s)", runs, h.File)
	}
	return "", fmt.Errorf("it runs %s, not kata-tes (%s)", runs, h.File)
}

// checkShim is about our program, as containerd looks for it.
func (h handler) checkShim(context.Context) (string, error) {
	shim, err := h.ourShim()
	if err != nil {
		return "", err
	}
	if err := h.checkOwn(shim); err != nil {
		return "", err
	}
	if h.RuntimePath != "" || h.inContainerdsPath(shim) {
		return shim, nil
	}
	return "", wrongf("put it into a folder of containerd's PATH, or extend that", "%s is there, but not in the PATH with which containerd was started", shim)
}

// ourShim is where our shim is, also before the handler uses it.
func (h handler) ourShim() (string, error) {
	if h.Ours && h.Shim != "" {
		return h.Shim, nil
	}
	if h.Ours && h.RuntimePath != "" {
		return "", fmt.Errorf("runtime_path names %s, and there is no such program", h.RuntimePath)
	}
	for _, folder := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"} {
		if program := path.Join(folder, node.ShimName); h.tree.Executable(program) == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("containerd finds no %s in its PATH", node.ShimName)
}

// inContainerdsPath is true where that PATH can't be read.
func (h handler) inContainerdsPath(program string) bool {
	p, err := h.findContainerd()
	if err != nil || p.environment["PATH"] == "" {
		return true
	}
	folder := path.Dir(program)
	return slices.Contains(strings.Split(p.environment["PATH"], ":"), folder) || folder == path.Dir(h.node.Containerd.Binary)
}

// checkOwn makes sure that a program that runs as root is root's.
func (d *doctor) checkOwn(program string) error {
	if err := d.tree.Executable(program); err != nil {
		return err
	}
	info, err := d.tree.Stat(program)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&writableByOthers != 0 {
		return wrongf("chmod 0755 "+program, "others may write to %s (mode %#o), which runs as root", program, info.Mode().Perm())
	}
	return nil
}

func (h handler) checkShimVersion(ctx context.Context) (string, error) {
	shim, err := h.ourShim()
	if err != nil {
		return "", unknownf("see the check of the shim", "there is no shim to ask")
	}
	out, err := h.live.run(ctx, shim, "-v")
	if err != nil {
		return "", err
	}
	version := ""
	for _, line := range strings.Split(out, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "Version:"); ok {
			version = strings.TrimSpace(value)
		}
	}
	switch version {
	case "":
		return "", fmt.Errorf("%s -v says %.100q and no version", shim, out)
	case h.Version:
		return version, nil
	}
	return "", fmt.Errorf("%s is %.40s, and this kata-tes is %s", shim, version, h.Version)
}

// checkSandboxer: containerd 2 may have the shim manage the sandbox. Kata's Go
// shim, which runs behind ours, serves the task API only.
func (h handler) checkSandboxer(context.Context) (string, error) {
	if sandboxer, _ := h.Table["sandboxer"].(string); sandboxer != "" && sandboxer != "podsandbox" {
		return "", fmt.Errorf("sandboxer is %q, which Kata's Go shim does not serve", sandboxer)
	}
	return "containerd manages the sandbox", nil
}

func (h handler) checkPrivileged(context.Context) (string, error) {
	if !h.PrivilegedWithoutHostDevices {
		return "", warnf("", "a privileged container gets all of the host's devices, the store's disk under its own path as well, and is refused")
	}
	return "privileged containers get none", nil
}
