// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// errNoKata is why a check about Kata's configuration can't be made.
var errNoKata = unknownf("see the check of the Kata configuration", "the Kata configuration was not found or can't be read")

// hypervisorKey is a key of [hypervisor.qemu] as it is after merging; nil where
// it is not set.
func (h handler) hypervisorKey(key string) any { return h.kataKey("hypervisor", "qemu", key) }

func (h handler) kataKey(keys ...string) any {
	var at any = h.Kata.Merged
	for _, key := range keys {
		table, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = table[key]
	}
	return at
}

func (h handler) isSet(key string) bool {
	set, _ := h.hypervisorKey(key).(bool)
	return set
}

func (h handler) noKata() bool { return h.Kata == nil || h.KataError != nil }

func (h handler) checkKata(context.Context) (string, error) {
	switch {
	case errors.Is(h.KataError, fs.ErrNotExist) && h.ConfigPath != "":
		return "", fmt.Errorf("%s, which the handler's ConfigPath names, is not there", h.ConfigPath)
	case h.KataError != nil:
		return "", h.KataError
	case h.Kata == nil:
		return "", wrongf("use a handler of Kata Containers", "the handler does not run Kata Containers")
	case !slices.Contains(h.Kata.Hypervisors, "qemu"):
		return "", wrongf("use a handler with QEMU", "%s is for %s, and kata-tes works with QEMU only", h.Kata.Path, strings.Join(h.Kata.Hypervisors, ", "))
	}
	detail := h.Kata.Path
	if n := len(h.Kata.DropIns); n > 0 {
		detail += fmt.Sprintf(" and %d in config.d", n)
	}
	return detail, nil
}

// shimVersion is what Kata's shims print for --version: "Kata Containers
// containerd shim (Golang): id: ..., version: 3.20.0, commit: ..." (main.go of
// the Go runtime, main.rs of the Rust one; before 3.0 without the language).
var shimVersion = regexp.MustCompile(`^Kata Containers containerd shim(?: \((\w+)\))?: .*version: ([^ ,]+)`)

// checkInnerShim: only the Go runtime tells where its guest is.
func (h handler) checkInnerShim(ctx context.Context) (string, error) {
	if h.config == nil {
		return "", unknownf("see the check of the node's configuration", "/etc/kata-tes/config.toml makes no sense")
	}
	settings, err := h.config.For(h.ConfigPath)
	if err != nil {
		return "", err
	}
	shim := h.onNode(settings.InnerShim)
	out, err := h.live.run(ctx, shim, "--version")
	if err != nil {
		return "", err
	}
	found := shimVersion.FindStringSubmatch(out)
	switch {
	case found == nil:
		return "", fmt.Errorf("%s --version says %.100q, as no shim of Kata Containers does", shim, out)
	case found[1] == "Rust":
		return "", wrongf("let the handler's ConfigPath name a configuration of Kata's Go runtime (not below runtime-rs), and inner_shim its shim",
			"%s is Kata's Rust runtime %s, behind which no store can be prepared (ConfigPath %q)", shim, found[2], h.ConfigPath)
	}
	return fmt.Sprintf("%s is Kata's Go runtime %s", shim, found[2]), nil
}

// onNode is a path as the node itself has it.
func (d *doctor) onNode(below string) string {
	if root := strings.TrimSuffix(d.Root, "/"); root != "" {
		return strings.TrimPrefix(below, root)
	}
	return below
}

// checkHypervisor is about what Kata starts when all drop-ins are merged.
func (h handler) checkHypervisor(context.Context) (string, error) {
	switch {
	case h.noKata():
		return "", errNoKata
	case h.Kata.Wrapped():
		return h.Kata.QEMUPath + " by " + h.Kata.QEMUPathFile, nil
	case h.Kata.QEMUPath == "":
		return "", errors.New("no file names a path in [hypervisor.qemu]")
	}
	for _, file := range h.Kata.DropIns {
		if strings.Contains(path.Base(file), "kata-tes") && file != h.Kata.QEMUPathFile {
			return "", wrongf("take path out of "+h.Kata.QEMUPathFile+", or give our drop-in a name that sorts behind it",
				"there is no monitor, and so no store: Kata starts %s, because %s comes after our drop-in %s", h.Kata.QEMUPath, h.Kata.QEMUPathFile, file)
		}
	}
	return "", fmt.Errorf("there is no monitor, and so no store: Kata starts %s itself (%s)", h.Kata.QEMUPath, h.Kata.QEMUPathFile)
}

func (h handler) checkWrapper(context.Context) (string, error) {
	switch {
	case h.noKata():
		return "", errNoKata
	case !h.Kata.Wrapped():
		return "", unknownf("see the check of the hypervisor", "no wrapper is named")
	}
	if err := h.checkOwn(h.Kata.QEMUPath); err != nil {
		return "", err
	}
	return h.Kata.QEMUPath, nil
}

// checkPaths is about which hypervisors a pod's annotation may choose: where it
// may choose one at all, ours must be among them, and no other.
func (h handler) checkPaths(context.Context) (string, error) {
	if h.noKata() {
		return "", errNoKata
	}
	valid := texts(h.hypervisorKey("valid_hypervisor_paths"))
	mayChoose := slices.Contains(texts(h.hypervisorKey("enable_annotations")), "path")
	if h.Kata.Wrapped() && !slices.Contains(valid, h.Kata.QEMUPath) {
		return "", warnf("", "valid_hypervisor_paths (%s) lacks %s", strings.Join(valid, ", "), h.Kata.QEMUPath)
	}
	if mayChoose && len(valid) > 1 {
		return "", warnf(`take "path" out of enable_annotations, or the others out of valid_hypervisor_paths`,
			"a pod's annotation may choose another hypervisor (%s), with which it has no store", strings.Join(valid, ", "))
	}
	return strings.Join(valid, ", "), nil
}

func texts(value any) []string {
	list, _ := value.([]any)
	var all []string
	for _, element := range list {
		if text, ok := element.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// checkDriver: with virtio-scsi there is a controller for our disk, with
// virtio-blk a bridge (virtcontainers-ext/controller.go).
func (h handler) checkDriver(context.Context) (string, error) {
	if h.noKata() {
		return "", errNoKata
	}
	driver, _ := h.hypervisorKey("block_device_driver").(string)
	switch driver {
	case "virtio-scsi":
		return driver, nil
	case "virtio-blk":
		if bridges, set := h.hypervisorKey("default_bridges").(int64); set && bridges < 1 {
			return "", fmt.Errorf("with virtio-blk and without a bridge (default_bridges = %d) a disk can't be plugged", bridges)
		}
		return driver + ", by a slot of pci-bridge-0", nil
	case "":
		return "virtio-scsi, Kata's default", nil
	}
	return "", fmt.Errorf("with %s a disk can't be plugged as the store needs it", driver)
}

func (h handler) checkRootless(context.Context) (string, error) {
	if h.noKata() {
		return "", errNoKata
	}
	if h.isSet("rootless") {
		return "", errors.New("QEMU runs as another user, who can't make our monitor in /run/kata-tes")
	}
	return "QEMU runs as root", nil
}

// tees are where the kernel says that it can run confidential guests.
var tees = []struct{ name, parameter string }{
	{"TDX", "/sys/module/kvm_intel/parameters/tdx"},
	{"SEV-SNP", "/sys/module/kvm_amd/parameters/sev_snp"},
}

func (h handler) checkConfidential(context.Context) (string, error) {
	if h.noKata() {
		return "", errNoKata
	}
	if !h.isSet("confidential_guest") {
		return "the handler's guests are not confidential", nil
	}
	for _, tee := range tees {
		value, err := h.tree.Read(tee.parameter)
		if err == nil && strings.ContainsAny(string(value), "Yy1") {
			return tee.name, nil
		}
	}
	return "", warnf("", "the kernel offers neither TDX nor SEV-SNP, and the handler's guests are confidential")
}

// checkGuestPull: the store is where the guest unpacks images.
func (h handler) checkGuestPull(context.Context) (string, error) {
	if h.noKata() {
		return "", errNoKata
	}
	if forced, _ := h.kataKey("runtime", "experimental_force_guest_pull").(bool); forced {
		return "experimental_force_guest_pull", nil
	}
	if h.Snapshotter == "nydus" {
		return "snapshotter nydus", nil
	}
	return "", warnf("", "nothing says that images are pulled in the guest; those that the host unpacks are not on the store")
}
