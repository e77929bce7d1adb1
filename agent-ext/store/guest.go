// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"path/filepath"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agent-ext/filesystem"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
)

// guestParts are this machine's kernel and the guest image's programs.
type guestParts struct {
	run   command.Runner
	tools config.Tools
	// directory is in memory and holds the header.
	directory, header string
	mapping           string
	profile           profile.Profile
}

func (g guestParts) CheckMemory() error { return CheckMemory(g.directory) }

func (g guestParts) CheckMountPoint(at string) error { return filesystem.CheckMountPoint(at) }

func (g guestParts) system() disk.System {
	return disk.System{Nodes: filepath.Join(g.directory, "dev")}
}

func (g guestParts) Find(ctx context.Context, marker string) (string, error) {
	return g.system().Find(ctx, marker, disk.ListenUevents)
}

func (g guestParts) Take(name, marker string, minimum uint64) (*disk.Disk, error) {
	return g.system().Take(name, marker, minimum)
}

func (g guestParts) Volume(d *disk.Disk) volume {
	v := luks.Volume{
		Run: g.run, Cryptsetup: g.tools.Cryptsetup, Encryption: g.profile.Encryption, Header: g.header, Mapping: g.mapping,
	}
	if d != nil {
		v.Device, v.Number, v.Size = d.Path, d.Number(), d.Size
	}
	return v
}

func (g guestParts) Make(ctx context.Context, device string) error {
	_, mkfs := g.tools.Mkfs(g.profile.FileSystem)
	return g.profile.FileSystem.Make(ctx, g.run, mkfs, device)
}

func (g guestParts) Mount(device, at string) error   { return g.profile.FileSystem.Mount(device, at) }
func (g guestParts) Bind(from, at string) error      { return filesystem.Bind(from, at) }
func (g guestParts) Unmount(device, at string) error { return filesystem.Unmount(device, at) }

func (g guestParts) Mounted(device, at string) (bool, error) { return filesystem.Mounted(device, at) }

func (g guestParts) CheckUnused(mountPoints []string) error {
	return filesystem.CheckUnused(mountPoints)
}
