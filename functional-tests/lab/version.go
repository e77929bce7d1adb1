// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"path/filepath"
)

// Version is one of the containerds in the node.
type Version struct {
	Name string

	bin      string
	runcShim string
	root     string
	state    string
	template string
	// dropIn is the product's containerd drop-in; imports says whether this
	// version merges imported files into sections.
	dropIn  string
	imports bool
}

var (
	// Containerd1 is Debian's containerd 1.6.
	Containerd1 = Version{
		Name: "containerd-1", bin: "/usr/bin", runcShim: "/usr/bin/containerd-shim-runc-v2",
		root: "/var/lib/containerd-1", state: "/run/containerd-1",
		template: "containerd-1.toml", dropIn: payload + "/containerd/kata-tes-containerd-1.toml",
	}
	// Containerd2 is containerd 2.x.
	Containerd2 = Version{
		Name: "containerd-2", bin: "/opt/containerd-2/bin", runcShim: "/opt/containerd-2/bin/containerd-shim-runc-v2",
		root: "/var/lib/containerd-2", state: "/run/containerd-2",
		template: "containerd-2.toml", dropIn: payload + "/containerd/kata-tes-containerd-2.toml", imports: true,
	}
)

// Versions are all that the tests run on.
func Versions() []Version { return []Version{Containerd1, Containerd2} }

// Socket is containerd's gRPC socket.
func (v Version) Socket() string { return "/run/containerd/containerd.sock" }

func (v Version) program(name string) string { return filepath.Join(v.bin, name) }

// environment puts this version's runc shim in front of the other's.
func (v Version) environment() []string {
	return append(os.Environ(), "PATH="+v.bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}
