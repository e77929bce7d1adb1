// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrNoContainerd says that the node has no containerd that could be found.
var ErrNoContainerd = errors.New("containerd was not found")

// errNotDir comes of a path through something that is no folder.
var errNotDir = unix.ENOTDIR

// Options say where to look when it is not where it usually is.
type Options struct {
	// ContainerdConfig is containerd's main configuration file.
	ContainerdConfig string
}

// Node is what was found.
type Node struct {
	Tree       *Tree
	Containerd *Containerd
}

// Discover looks at a node. An error says that containerd's configuration is not
// there or cannot be read; what is wrong with a handler's Kata configuration is
// in the handler.
func Discover(t *Tree, options Options) (*Node, error) {
	containerd, err := findContainerd(t, options.ContainerdConfig)
	if err != nil {
		return nil, err
	}
	return &Node{Tree: t, Containerd: containerd}, nil
}
