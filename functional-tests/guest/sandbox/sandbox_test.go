// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
}

// TestEphemeral asks for /dev/shm as Kata's runtime does, and for a volume in
// memory that belongs to a group.
func TestEphemeral(t *testing.T) {
	needRoot(t)
	folder := t.TempDir()
	for name, options := range map[string][]string{
		"shm":    {"noexec", "nosuid", "nodev", "mode=1777", "size=67108864"},
		"volume": {"fsgid=77"},
	} {
		path := filepath.Join(folder, name)
		storage := &agent.Storage{Driver: "ephemeral", Source: "tmpfs", Fstype: "tmpfs", MountPoint: path, Options: options}
		require.NoError(t, Ephemeral(storage))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(path, 0)) })
		require.NoError(t, os.WriteFile(filepath.Join(path, "file"), nil, 0o600))
		require.NoError(t, Ephemeral(storage), "the next container shares it")
		require.FileExists(t, filepath.Join(path, "file"))
	}
	var shm unix.Statfs_t
	require.NoError(t, unix.Statfs(filepath.Join(folder, "shm"), &shm))
	require.Equal(t, uint64(64<<20), shm.Blocks*uint64(shm.Bsize))
	require.Equal(t, int64(unix.ST_NOEXEC|unix.ST_NOSUID|unix.ST_NODEV), shm.Flags&(unix.ST_NOEXEC|unix.ST_NOSUID|unix.ST_NODEV))
	checkFolder(t, filepath.Join(folder, "volume"), 77, os.ModeSetgid|0o777)

	require.Error(t, Ephemeral(&agent.Storage{Source: "x", Fstype: "no-such-thing", MountPoint: filepath.Join(folder, "other")}))
}

func TestLocal(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "volume")
	require.NoError(t, Local(&agent.Storage{Driver: "local", MountPoint: path, Options: []string{"mode=0770", "fsgid=77"}}))
	checkFolder(t, path, 77, os.ModeSetgid|0o770)
	require.Error(t, Local(&agent.Storage{MountPoint: path, Options: []string{"mode=9"}}))
	require.Error(t, Local(&agent.Storage{MountPoint: path, Options: []string{"fsgid=wheel"}}))
}

func checkFolder(t *testing.T, path string, group uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, mode, info.Mode()&(os.ModePerm|os.ModeSetgid))
	var stat unix.Stat_t
	require.NoError(t, unix.Stat(path, &stat))
	require.Equal(t, group, stat.Gid)
}

func TestNamespaces(t *testing.T) {
	needRoot(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n, err := NewNamespaces(filepath.Join(t.TempDir(), "ns"), "a-pod")
	require.NoError(t, err)
	own, err := os.Hostname()
	require.NoError(t, err)
	require.NotEqual(t, "a-pod", own, "this process stays where it is")
	for kind, file := range map[string]string{"ipc": n.IPC, "uts": n.UTS} {
		t.Cleanup(func() { require.NoError(t, unix.Unmount(file, 0)) })
		var theirs, ours unix.Stat_t
		require.NoError(t, unix.Stat(file, &theirs))
		require.NoError(t, unix.Stat("/proc/thread-self/ns/"+kind, &ours))
		require.NotEqual(t, ours.Ino, theirs.Ino, kind)
	}
}

// TestDevices finds disks in a tree like a guest's sysfs.
func TestDevices(t *testing.T) {
	sysfs := t.TempDir()
	write := func(path, content string) {
		path = filepath.Join(sysfs, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	write("class/scsi_host/host0/scan", "")
	write("class/scsi_device/0:0:1:7/device/block/sdb/dev", "8:16\n")
	write("devices/pci0000:00/0000:00:02.0/0000:01:03.0/virtio5/block/vda/dev", "254:0\n")
	spec := &specs.Spec{Linux: &specs.Linux{Devices: []specs.LinuxDevice{
		{Path: "/dev/one", Type: "b", Major: 253, Minor: 9}, {Path: "/dev/two", Type: "b", Major: 253, Minor: 10}, {Path: "/dev/kept", Type: "c", Major: 1, Minor: 3},
	}}}
	require.NoError(t, Devices(t.Context(), sysfs, []*agent.Device{
		{Id: "1:7", Type: "scsi", ContainerPath: "/dev/one"}, {Id: "02/03", Type: "blk", ContainerPath: "/dev/two"},
	}, spec))
	var numbers [][2]int64
	for _, device := range spec.Linux.Devices {
		numbers = append(numbers, [2]int64{device.Major, device.Minor})
	}
	require.Equal(t, [][2]int64{{8, 16}, {254, 0}, {1, 3}}, numbers)
	require.Len(t, spec.Linux.Resources.Devices, 3)
	require.Equal(t, int64(16), *spec.Linux.Resources.Devices[0].Minor)
	scan, err := os.ReadFile(filepath.Join(sysfs, "class/scsi_host/host0/scan"))
	require.NoError(t, err)
	require.Equal(t, "0 1 7", string(scan), "that address, and no other")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, device := range []*agent.Device{
		{Id: "1:8", Type: "scsi"}, {Id: "- -", Type: "scsi"}, {Id: "04", Type: "blk"}, {Id: "x", Type: "nvdimm"},
	} {
		require.Error(t, Devices(gone, sysfs, []*agent.Device{device}, spec), device.Id)
	}
}
