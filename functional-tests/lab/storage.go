// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OpenLocalGroup is the volume group that open-local makes on a node.
const OpenLocalGroup = "open-local-pool-0"

// OpenLocalName is a name as open-local gives it to a logical volume and its
// PersistentVolume.
func OpenLocalName() string { return "local-" + newUID() }

// Offer offers the volume to the cluster as a PersistentVolume of its own name,
// in the class open-local-lvm, until the test ends.
func (v Volume) Offer(t testing.TB) {
	t.Helper()
	manifest, err := render("storage.yaml", map[string]any{"Name": filepath.Base(v.Path), "Path": v.Path, "MiB": v.Size >> 20})
	if err != nil {
		t.Fatal(err)
	}
	Apply(t, string(manifest))
}

// RemoveAfterPod removes the volume of a pod that is gone, at the first try:
// nobody but the kubelet's own mapping has held it.
func (v Volume) RemoveAfterPod(ctx context.Context) error {
	if err := v.AwaitUnmapped(ctx); err != nil {
		return err
	}
	return v.Remove()
}

// AwaitUnmapped waits until the kubelet has detached the loop device that it
// holds a block volume by. It does so soon after the last pod with the volume
// has gone, and tells nobody.
func (v Volume) AwaitUnmapped(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		holders, err := v.loopDevices()
		if err != nil || len(holders) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the kubelet still maps %s: %s", v.Path, strings.Join(holders, " "))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// loopDevices lists those on the volume: the kubelet attaches them to a node of
// its own that is named after the PersistentVolume.
func (v Volume) loopDevices() ([]string, error) {
	list, err := run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(list) {
		if strings.Contains(line, filepath.Base(v.Path)) {
			found = append(found, strings.Join(strings.Fields(line), " on "))
		}
	}
	return found, nil
}
