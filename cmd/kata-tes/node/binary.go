// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"debug/buildinfo"
	"path"
	"regexp"
	"strings"
)

// Where programs are: containerd's PATH as systemd and shells set it.
var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

var versionFlag = regexp.MustCompile(`containerd(?:/v2)?/version\.Version=v?([0-9][0-9A-Za-z.+~-]*)`)

// findBinary looks for containerd and reads its version out of the program,
// which need not be one that can be run here.
func (c *Containerd) findBinary(t *Tree) {
	c.Binary = t.first(inDirs("containerd", programDirs)...)
	if c.Binary == "" {
		return
	}
	resolved, err := t.Resolve(c.Binary)
	if err != nil {
		return
	}
	file, err := t.root.Open(inside(resolved))
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	info, err := buildinfo.Read(file)
	if err != nil {
		// Stripped or not a Go program: the configuration has to tell.
		return
	}
	c.describe(info)
}

func (c *Containerd) describe(info *buildinfo.BuildInfo) {
	switch {
	case strings.HasPrefix(info.Path, "github.com/containerd/containerd/v2"):
		c.Major = 2
	case strings.HasPrefix(info.Path, "github.com/containerd/containerd"):
		c.Major = 1
	}
	if strings.HasPrefix(info.Main.Version, "v") {
		c.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key != "-ldflags" {
			continue
		}
		if match := versionFlag.FindStringSubmatch(setting.Value); match != nil {
			c.Version = "v" + match[1]
		}
	}
}

func inDirs(name string, dirs []string) []string {
	paths := make([]string, len(dirs))
	for i, dir := range dirs {
		paths[i] = path.Join(dir, name)
	}
	return paths
}
