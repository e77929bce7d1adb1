// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/kata-tes/kata-tes/functional-tests/controlplane"
	"github.com/kata-tes/kata-tes/functional-tests/node"
)

// cluster is the control plane beside a node. Without one, all that it does is
// to boot the node.
type cluster struct {
	plane *controlplane.ControlPlane
}

func (j *job) newCluster() (*cluster, error) {
	if !j.cluster {
		return &cluster{}, nil
	}
	plane, err := controlplane.New(j.config.Build, os.Stderr)
	if err != nil {
		return nil, err
	}
	return &cluster{plane}, nil
}

// boot boots the node while the control plane starts, and connects the two.
func (c *cluster) boot(ctx context.Context, config node.Config) (*node.Node, error) {
	if c.plane == nil {
		return node.Boot(ctx, config)
	}
	config.Files = maps.Clone(config.Files)
	maps.Copy(config.Files, c.plane.Files())
	started := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { started <- c.plane.Start(ctx) }()
	n, err := node.Boot(ctx, config)
	if err != nil {
		cancel()
		if stopped := <-started; !errors.Is(stopped, context.Canceled) {
			err = errors.Join(err, stopped)
		}
		return nil, err
	}
	if err = <-started; err == nil {
		err = c.connect(ctx, n)
	}
	if err != nil {
		if closing := n.Close(); closing != nil {
			err = fmt.Errorf("%w; %w", err, closing)
		}
		return nil, err
	}
	return n, nil
}

// reboot boots the node again, on its own disk; the control plane lives on. A
// node that it gives has taken the other's place, also where there is an error.
func (c *cluster) reboot(ctx context.Context, n *node.Node) (*node.Node, error) {
	again, err := n.Reboot(ctx)
	if err != nil || c.plane == nil {
		return again, err
	}
	return again, c.connect(ctx, again)
}

// connect lets node and control plane reach each other.
func (c *cluster) connect(ctx context.Context, n *node.Node) error {
	c.plane.ConnectNode(n.Dial)
	// Not ctx: it ends with the node, not with this function.
	return n.Provide(context.WithoutCancel(ctx), controlplane.NodeAddress, c.plane.Dial)
}

func (c *cluster) saveLogs(folder string) error {
	if c.plane == nil {
		return nil
	}
	return c.plane.CopyLogs(filepath.Join(folder, "control-plane"))
}

func (c *cluster) close() error {
	if c.plane == nil {
		return nil
	}
	return c.plane.Close()
}
