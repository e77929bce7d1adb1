// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
	"github.com/moby/sys/mountinfo"
)

// KataSocket is an exception: Kata's Go shim ends without removing its socket.
const KataSocket = "path /run/containerd/s/*"

const (
	// settleLimit is how long what ends may take to be gone.
	settleLimit = 30 * time.Second
	// leftLimit is longer than containerd gives the clean-up after a killed shim
	// in this node (templates): until then that runs, and is not left.
	leftLimit = 2 * time.Minute
)

// NothingLeft compares what there is on the node now with what there is when
// the test ends: processes, sockets, mounts, folders, loop devices, network
// namespaces. Call it before what the test makes, so that it looks last. What
// matches one of the exceptions (a pattern of path.Match on "path /run/…",
// "mount /…", "process <pid>: …") may stay.
func NothingLeft(t testing.TB, exceptions ...string) {
	t.Helper()
	NeedNode(t)
	before, err := TakeInventory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := before.AwaitNothingNew(exceptions...)
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
}

// Inventory is what there is on the node at a moment, one line for each thing.
type Inventory []string

// AwaitNothingNew waits until there is nothing that the inventory lacks, and
// gives what is left when that takes too long. Exceptions are NothingLeft's.
func (before Inventory) AwaitNothingNew(exceptions ...string) (left []string, err error) {
	deadline := time.Now().Add(leftLimit)
	for {
		now, err := TakeInventory()
		if err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(now, func(item string) bool {
			return slices.Contains(before, item) || slices.ContainsFunc(exceptions, func(pattern string) bool {
				matched, err := path.Match(pattern, item)
				return err == nil && matched
			})
		})
		if len(left) == 0 || time.Now().After(deadline) {
			return left, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// nodeMetrics is the one thing of ours that outlives the pods: the node's
// counters, in a folder that is no pod's and is made once (shim/metrics).
var nodeMetrics = rundir.MetricsPath(rundir.Root)

// places are where a pod leaves traces: Kata's, containerd's, ours.
var places = []string{
	"/run/kata-tes/*", "/run/vc/vm/*", "/run/vc/sbs/*", "/run/vc/firecracker/*", "/run/kata/*",
	"/run/kata-containers/shared/sandboxes/*", "/run/containerd/s/*", "/run/netns/*", "/var/run/netns/*",
	"/run/containerd*/io.containerd.runtime.v2.task/*/*", "/run/runc/*", "/sys/fs/cgroup/kubepods/*/*",
}

// TakeInventory looks at processes, sockets, mounts, folders, loop devices,
// mappings and network namespaces.
func TakeInventory() (Inventory, error) {
	var items []string
	processes, err := Processes(shimsAndMachines)
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		items = append(items, fmt.Sprintf("process %d: %s", p.PID, strings.Join(p.Args, " ")))
	}
	for _, pattern := range places {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			if name == nodeMetrics {
				continue
			}
			if info, err := os.Lstat(name); err == nil && (info.IsDir() || !strings.HasPrefix(name, "/sys/")) {
				items = append(items, "path "+name)
			}
		}
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	for _, m := range mounts {
		items = append(items, "mount "+m.Mountpoint)
	}
	loops, err := run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSpace(loops), "\n") {
		items = append(items, "loop device "+line)
	}
	mappings, err := run("dmsetup", "ls")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSpace(mappings), "\n") {
		items = append(items, "device-mapper "+line)
	}
	return items, nil
}

// ForgetKilled removes the folders that Kata and containerd may leave of a pod
// one of whose processes was killed, with us or without us. Kata's shim is ended
// half the way of its own clean-up; then the `delete` of each of the pod's
// containers may wait half a minute for an agent that is gone, under one lock,
// and containerd gives up before the last. Processes, mounts, sockets and what
// is ours must be gone as ever: that is checked. It gives those folders.
func ForgetKilled(t testing.TB, p *Pod) (folders []string) {
	t.Helper()
	if _, err := os.Stat("/run/kata-tes/" + p.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the sandbox's folder of ours is still there (%v)", err)
	}
	awaitDeletes(t, p)
	for _, parent := range []string{
		"/run/vc/vm", "/run/vc/sbs", "/run/kata-containers/shared/sandboxes",
		p.containerd.Bundles(),
	} {
		if folder := filepath.Join(parent, p.ID); forget(t, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// forget removes a folder of Kata's or containerd's and says whether it was there.
func forget(t testing.TB, folder string) bool {
	t.Helper()
	_, err := os.Stat(folder)
	if err == nil {
		t.Logf("left by Kata or containerd: %s", folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Errorf("removing what Kata or containerd left: %v", err)
	}
	return err == nil
}

// ForgetBundle removes the bundle that containerd keeps of a container whose
// sandbox ended while it was being started: Kata's `delete` of a container fails
// where the sandbox is gone, and containerd keeps what it failed for.
// So does a containerd that was killed while it waited for a shim's Create. It
// gives the folder, or nothing where there is none.
func ForgetBundle(t testing.TB, c *Container) (folder string) {
	t.Helper()
	awaitDeletes(t, c.pod)
	folder = filepath.Join(c.pod.containerd.Bundles(), c.ID)
	if forget(t, folder) {
		return folder
	}
	return ""
}

// Bundles is the folder of the containers' bundles.
func (c *Containerd) Bundles() string {
	return filepath.Join(c.state, "io.containerd.runtime.v2.task/k8s.io")
}

// awaitDeletes waits for the ends of a killed pod's processes, and of each
// `delete`, of its containers as well: one that containerd no longer waits for
// writes Kata's state again when its own waiting has ended.
func awaitDeletes(t testing.TB, p *Pod) {
	t.Helper()
	for deadline := time.Now().Add(leftLimit); ; time.Sleep(100 * time.Millisecond) {
		running, err := Processes(func(process Process) bool {
			return shimsAndMachines(process) && (process.has(p.ID) || process.Args[len(process.Args)-1] == "delete")
		})
		if err != nil {
			t.Error(err)
			return
		}
		if len(running) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("processes of the killed sandbox %s run on: %v", p.ID, running)
			return
		}
	}
}
