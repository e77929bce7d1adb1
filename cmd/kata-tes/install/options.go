// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// DefaultBinDir is where programs go: in the PATH of containerd everywhere.
const DefaultBinDir = "/usr/local/bin"

var (
	// ErrWhich says that handlers have to be named, or other ones.
	ErrWhich = errors.New("which handlers?")
	// ErrUnfit says that a handler cannot have the runtime.
	ErrUnfit = errors.New("the handler cannot run behind kata-tes")
	// ErrChanged says that somebody else has changed what we put there.
	ErrChanged = errors.New("changed by somebody else since it was installed")
	// ErrInUse says that pods run on what is to be removed.
	ErrInUse = errors.New("pods still run on it")
)

// Options of both directions. Paths are the node's own, except From.
type Options struct {
	// Root is the folder that stands for the node's /.
	Root string
	// Handlers are the runtimes to put our shim in front of. None: those of the
	// installation that is there.
	Handlers []string
	// From is where our programs are; on this machine, not below Root.
	From string
	// BinDir is where they go.
	BinDir string
	// ContainerdConfig is containerd's main file; empty: where it usually is.
	ContainerdConfig string
	// Force goes over what somebody else has changed, and over running pods.
	Force bool
	// DryRun changes nothing.
	DryRun bool
	// Restart makes containerd read its configuration; nil: not asked for.
	Restart Restarter
	// Version is recorded.
	Version string
}

// info is our part of the record.
type info struct {
	Version          string   `json:"version"`
	Handlers         []string `json:"handlers"`
	ContainerdConfig string   `json:"containerdConfig"`
	// ContainerdFiles are those of ours that only count after a restart.
	ContainerdFiles []string `json:"containerdFiles"`
	// RestartPending says that containerd has not been restarted by us since.
	RestartPending bool `json:"restartPending"`
}

// programs that go on the node.
var programs = []string{node.ShimName, node.WrapperName}

// FromHere is where this program is, links followed: its companions are beside it.
func FromHere() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return filepath.Dir(self), nil
}

// BinDirFor is where programs go by default: where they are already when a
// package put them into containerd's PATH, so that the package's next version
// takes their place.
func BinDirFor(root, from string) string {
	if filepath.Clean(root) == "/" && (from == "/usr/bin" || from == DefaultBinDir) {
		return from
	}
	return DefaultBinDir
}

// inPlace says whether the programs need not be copied.
func (o Options) inPlace() (bool, error) {
	from, err := os.Stat(o.From)
	if err != nil {
		return false, err
	}
	to, err := os.Stat(filepath.Join(o.Root, o.BinDir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(from, to), nil
}
