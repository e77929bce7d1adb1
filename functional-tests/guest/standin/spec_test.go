// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
)

// TestToSpec goes there and back by Kata's own code, with every part of a
// specification that a pod uses.
func TestToSpec(t *testing.T) {
	score, limit, shares, mode, uid := -998, int64(1<<30), uint64(2), os.FileMode(0o660), uint32(7)
	spec := &specs.Spec{
		Version: "1.2.0",
		Process: &specs.Process{
			Terminal: true, User: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3, 4}}, Args: []string{"sh", "-c", "true"},
			Env: []string{"A=b"}, Cwd: "/tmp", NoNewPrivileges: true, OOMScoreAdj: &score,
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 2, Soft: 1}},
		},
		Root: &specs.Root{Path: "/run/kata-containers/c/rootfs", Readonly: true}, Hostname: "pod",
		Mounts:      []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid"}}},
		Annotations: map[string]string{"io.kubernetes.cri.container-type": "container"},
		Linux: &specs.Linux{
			Sysctl:      map[string]string{"net.ipv4.ip_forward": "0", "kernel.shmmax": "1"},
			CgroupsPath: "/kubepods/pod/c", MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"},
			Resources:  &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, CPU: &specs.LinuxCPU{Shares: &shares}},
			Namespaces: []specs.LinuxNamespace{{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}},
			Devices:    []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: 1, Minor: 3, FileMode: &mode, UID: &uid, GID: &uid}},
		},
	}
	message, err := agent.OCItoGRPC(spec)
	require.NoError(t, err)
	back, err := toSpec(message)
	require.NoError(t, err)
	require.Equal(t, spec, back)

	require.Equal(t, map[string]string{"net.ipv4.ip_forward": "0"}, takeNetworkParameters(back))
	require.Equal(t, map[string]string{"kernel.shmmax": "1"}, back.Linux.Sysctl)
	joinNamespaces(back, "/ipc", "/uts", "")
	require.Equal(t, []specs.LinuxNamespace{
		{Type: specs.IPCNamespace, Path: "/ipc"}, {Type: specs.UTSNamespace, Path: "/uts"}, {Type: specs.MountNamespace}, {Type: specs.PIDNamespace},
	}, back.Linux.Namespaces)
	require.False(t, isSandbox(back))

	_, err = toSpec(&agent.Spec{})
	require.Error(t, err)
}
