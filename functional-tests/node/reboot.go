// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// rootDisk gives the path of the disk that the node boots from. One that is
// kept is a copy, and has the journal that the common one does without: a
// computer that loses its power finds its files again by it.
func (c *Config) rootDisk(folder string) (string, error) {
	common := c.part("disk", "root.img")
	if !c.KeepDisk {
		return common, nil
	}
	own := filepath.Join(folder, "root.img")
	if err := command("cp", "--sparse=always", common, own); err != nil {
		return "", err
	}
	return own, command("tune2fs", "-O", "has_journal", "-J", "size=64", own)
}

// Reboot takes the power from the node and boots it again on the same disks;
// the node needs KeepDisk for that. What it gives takes the place of n, of which
// only Close may be called from then on. When it fails, n still has the files.
func (n *Node) Reboot(ctx context.Context) (*Node, error) {
	if !n.config.KeepDisk {
		return nil, errors.New("this node's disk is not kept: there is nothing to boot again")
	}
	started := time.Now()
	// Whoever watches must not take the end for a loss.
	n.stop()
	<-n.watched
	select {
	case <-n.lost:
		return nil, n.cause
	default:
	}
	n.halt()

	again := newNode(n.config, n.folder)
	again.keys, again.root, again.payload, again.disks = n.keys, n.root, n.payload, n.disks
	if err := again.bootUp(ctx); err != nil {
		again.halt()
		return nil, fmt.Errorf("booting the node again: %w", err)
	}
	n.folder = ""
	n.config.logf("lost its power, and is up again after %.1f s", time.Since(started).Seconds())
	return again, nil
}
