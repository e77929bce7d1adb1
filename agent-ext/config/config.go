// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package config reads /etc/kata-tes/agent.toml, which is part of the measured
// guest image: what a store is made of is decided here and nowhere else.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/filesystem"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/pelletier/go-toml/v2"
)

// DefaultPath is where the configuration is in the guest.
const DefaultPath = "/etc/kata-tes/agent.toml"

// Config is the guest's configuration. The comments on its keys are also their
// reference, docs/configuration.md.
type Config struct {
	// The folder for the LUKS2 headers, while a store exists. Must be memory
	// (tmpfs or ramfs): a header on the host's disk could be rewritten by the
	// host.
	HeaderDirectory string `toml:"header_directory"`
	// Tools are the programs of the guest image.
	Tools Tools `toml:"tools"`
	// Stores by name; the host asks for them by that name.
	Stores map[string]Store `toml:"store"`
}

// Tools are absolute paths. A mkfs is needed where a store has its file system.
type Tools struct {
	// The program cryptsetup (version 2), an absolute path.
	Cryptsetup string `toml:"cryptsetup"`
	// The program mkfs.ext4, an absolute path. Needed where a store has the
	// profile confidentiality.
	MkfsExt4 string `toml:"mkfs_ext4"`
	// The program mkfs.xfs, an absolute path. Needed where a store has the
	// profile integrity.
	MkfsXFS string `toml:"mkfs_xfs"`
}

// Mkfs gives the key and the path of the tool that makes the file system.
func (t Tools) Mkfs(kind filesystem.Type) (key, path string) {
	if kind.Name == filesystem.XFS.Name {
		return "mkfs_xfs", t.MkfsXFS
	}
	return "mkfs_ext4", t.MkfsExt4
}

// Store says what a disk becomes. Only the store trusted_store, which a
// container's /dev/trusted_store asks for, has a mapping and mount points by
// default.
type Store struct {
	// What the disk becomes; docs/profiles.md compares.
	Profile profile.Profile `toml:"profile"`
	// Name of the device-mapper mapping: letters, digits, '_', '.' and '-', 64 at
	// most.
	Mapping string `toml:"mapping"`
	// Where the store is mounted: at the first one, and bind-mounted at the
	// others. Absolute paths; nothing may lie below another one's.
	MountPoints []string `toml:"mount_points"`
	// Smaller disks are refused. By default 64MiB, or what the profile needs at
	// least, if that is more (336MiB for integrity).
	MinimumSize Size `toml:"minimum_size"`
	// How long to wait for the disk to appear.
	FindTimeout Duration `toml:"find_timeout"`
	// Upper bound of a preparation, whatever deadline the host sets.
	PrepareTimeout Duration `toml:"prepare_timeout"`
}

// UsualMinimum is the default of MinimumSize where the profile needs no more, in
// bytes.
const UsualMinimum = 64 << 20

// Default is the proposal's store, as it is without a configuration file.
func Default() Config {
	return Config{
		HeaderDirectory: "/run/kata-tes",
		Tools: Tools{
			Cryptsetup: "/usr/sbin/cryptsetup", MkfsExt4: "/usr/sbin/mkfs.ext4", MkfsXFS: "/usr/sbin/mkfs.xfs",
		},
		Stores: map[string]Store{
			agentproto.ImageStore: {
				Profile:        profile.Confidentiality,
				Mapping:        "ephemeral_image_encrypted_disk",
				MountPoints:    []string{"/run/image", "/run/kata-containers/image"},
				MinimumSize:    UsualMinimum,
				FindTimeout:    Duration(20 * time.Second),
				PrepareTimeout: Duration(2 * time.Minute),
			},
		},
	}
}

// LongestCall is how long a call may take that is given all the time that the
// configuration allows.
func (c Config) LongestCall() time.Duration {
	longest := time.Duration(0)
	for _, s := range c.Stores {
		longest = max(longest, time.Duration(s.PrepareTimeout))
	}
	return longest
}

// Load reads the file; keys that it doesn't name have their defaults, and so
// has all without a file at DefaultPath. An error names file and key.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own choice
	if errors.Is(err, os.ErrNotExist) && path == DefaultPath {
		return Default(), nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading the guest's configuration: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse is Load without the file.
func Parse(text []byte) (Config, error) {
	c := Default()
	defaults := c.Stores[agentproto.ImageStore]
	c.Stores = nil
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c)
	var unknown *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		return Config{}, fmt.Errorf("unknown key, remove it or correct its name:\n%s", unknown.String())
	case errors.As(err, &syntax):
		return Config{}, fmt.Errorf("not valid:\n%s", syntax.String())
	case err != nil:
		return Config{}, err
	}
	if c.Stores == nil {
		c.Stores = map[string]Store{agentproto.ImageStore: {}}
	}
	for name, s := range c.Stores {
		if name != agentproto.ImageStore && (s.Mapping == "" || len(s.MountPoints) == 0) {
			return Config{}, fmt.Errorf("store.%s: mapping and mount_points must be set; only %s has defaults", name, agentproto.ImageStore)
		}
		c.Stores[name] = s.withDefaults(defaults)
	}
	return c, c.check()
}

func (s Store) withDefaults(d Store) Store {
	if s.Profile.Name == "" {
		s.Profile = d.Profile
	}
	if s.Mapping == "" {
		s.Mapping = d.Mapping
	}
	if len(s.MountPoints) == 0 {
		s.MountPoints = d.MountPoints
	}
	if s.MinimumSize == 0 {
		s.MinimumSize = max(UsualMinimum, Size(s.Profile.Least))
	}
	if s.FindTimeout == 0 {
		s.FindTimeout = d.FindTimeout
	}
	if s.PrepareTimeout == 0 {
		s.PrepareTimeout = d.PrepareTimeout
	}
	return s
}
