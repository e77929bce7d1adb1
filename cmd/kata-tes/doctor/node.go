// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// nodeChecks are about the machine, whatever is installed on it.
func (d *doctor) nodeChecks() []check {
	on := about("node")
	return []check{
		on("root rights", d.checkRights, "run kata-tes as root"),
		on("KVM", d.checkDevice("/dev/kvm"), "load the module kvm_intel or kvm_amd (modprobe), and turn virtualization on in the firmware"),
		on("vhost-vsock", d.checkDevice("/dev/vhost-vsock"), "load the module (modprobe vhost_vsock) and have it loaded at boot: echo vhost_vsock >/etc/modules-load.d/kata-tes.conf"),
		on("configuration", d.checkConfig, "correct the file, then this check again; running pods keep what they were started with"),
	}
}

// folderChecks are about what our shims leave in /run.
func (d *doctor) folderChecks() []check {
	on := about("pods")
	return []check{
		on("folder of the sandboxes", d.checkRunFolder, "chown root: and chmod 0711 "+rundir.Root),
		on("metrics", d.checkMetrics, "remove "+rundir.MetricsPath(rundir.Root)+"; the next pod makes it again, with counters from 0"),
		on("running sandboxes", d.checkList, "run kata-tes as root"),
	}
}

func (d *doctor) checkRights(context.Context) (string, error) {
	if user := d.live.user(); user != 0 {
		return "", fmt.Errorf("kata-tes runs as user %d; much of what follows can't be seen", user)
	}
	return "root", nil
}

func (d *doctor) checkDevice(device string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		err := d.live.open(device)
		switch {
		case err == nil:
			return device + " can be opened", nil
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("%s does not exist", device)
		case errors.Is(err, fs.ErrPermission):
			return "", unknownf("run kata-tes as root", "%s can't be opened by this user", device)
		case errors.Is(err, syscall.EBUSY):
			return "", wrongf("see who has it: fuser -v "+device, "%s is busy", device)
		}
		return "", fmt.Errorf("%s can't be opened: %w", device, err)
	}
}

// checkConfig leaves the programs that the file names to the handlers' checks.
func (d *doctor) checkConfig(context.Context) (string, error) {
	if d.configErr != nil {
		return "", d.configErr
	}
	there, err := d.tree.Exists(config.DefaultPath)
	if err != nil {
		return "", err
	}
	if p, err := d.findContainerd(); err == nil && p.environment[config.PathVariable] != "" {
		return "", warnf("unset it, or keep in mind that this check and kata-tes-qemu's defaults go by "+config.DefaultPath,
			"containerd was started with %s=%s, and the shim reads that file instead", config.PathVariable, p.environment[config.PathVariable])
	}
	if !there {
		return "no " + config.DefaultPath + ": what is built in", nil
	}
	return config.DefaultPath, nil
}

// writableByOthers are the modes that let others change a file or folder.
const writableByOthers = 0o022

func (d *doctor) checkRunFolder(context.Context) (string, error) {
	info, err := d.tree.Stat(rundir.Root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no " + rundir.Root + " yet: no pod was started behind kata-tes since the node booted", nil
	case err != nil:
		return "", unknownf("", "looking at %s: %v", rundir.Root, err)
	case !info.IsDir():
		return "", wrongf("remove "+rundir.Root, "%s is not a folder (%s)", rundir.Root, info.Mode())
	case info.Mode().Perm()&writableByOthers != 0:
		return "", fmt.Errorf("others may write to %s (mode %#o), so that no pod is started", rundir.Root, info.Mode().Perm())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return "", fmt.Errorf("%s belongs to user %d, so that no pod is started", rundir.Root, st.Uid)
	}
	return fmt.Sprintf("%s, mode %#o", rundir.Root, info.Mode().Perm()), nil
}

// metricsReadable is what node_exporter needs, which is not root: to pass
// through the folders and to read the file.
var metricsReadable = []struct {
	path string
	mode fs.FileMode
}{
	{rundir.Root, 0o001},
	{rundir.MetricsPath(rundir.Root), 0o005},
	{rundir.MetricsPath(rundir.Root) + "/" + metrics.FileName, 0o004},
}

func (d *doctor) checkMetrics(context.Context) (string, error) {
	file := metricsReadable[len(metricsReadable)-1].path
	for _, need := range metricsReadable {
		info, err := d.tree.Stat(need.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "none yet: they come with the first pod", nil
		case err != nil:
			return "", unknownf("", "looking at %s: %v", need.path, err)
		case info.Mode().Perm()&need.mode != need.mode:
			return "", warnf(fmt.Sprintf("chmod o+%s %s", map[fs.FileMode]string{1: "x", 5: "rx", 4: "r"}[need.mode], need.path),
				"node_exporter, which is not root, can't read %s: %s has mode %#o", file, need.path, info.Mode().Perm())
		}
	}
	if _, err := d.tree.Read(file); err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	return file, nil
}

func (d *doctor) checkList(context.Context) (string, error) {
	if d.rowsErr != nil {
		return "", unknownf("", "%v", d.rowsErr)
	}
	return fmt.Sprintf("%d behind kata-tes", len(d.rows)), nil
}
