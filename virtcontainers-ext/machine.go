// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
)

// machine is QEMU's side of one operation: the commands that we need, typed.
type machine struct{ *qmp.Conn }

// peripherals are the devices that have an id, by id, with their types.
func (m machine) peripherals(ctx context.Context) (map[string]string, error) {
	var entries []struct{ Name, Type string }
	if err := m.Execute(ctx, "qom-list", map[string]string{"path": "/machine/peripheral"}, &entries); err != nil {
		return nil, err
	}
	devices := make(map[string]string, len(entries))
	for _, e := range entries {
		if typ, ok := strings.CutPrefix(e.Type, "child<"); ok {
			devices[e.Name] = strings.TrimSuffix(typ, ">")
		}
	}
	return devices, nil
}

// nodes are the names of all block nodes.
func (m machine) nodes(ctx context.Context) ([]string, error) {
	var nodes []struct {
		Name string `json:"node-name"`
	}
	// flat: without each node's chain of images again.
	if err := m.Execute(ctx, "query-named-block-nodes", map[string]bool{"flat": true}, &nodes); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names, nil
}

// fdset is a set of descriptors that QEMU was given and can open by number.
type fdset struct {
	ID  int64 `json:"fdset-id"`
	FDs []struct {
		FD int64 `json:"fd"`
		// Opaque is what the giver called it: ours are called by their marker.
		Opaque string `json:"opaque"`
	} `json:"fds"`
}

func (m machine) fdsets(ctx context.Context) ([]fdset, error) {
	var sets []fdset
	err := m.Execute(ctx, "query-fdsets", nil, &sets)
	return sets, err
}

// addFD gives QEMU a duplicate of f. QEMU chooses the set's number: one that
// nobody has, Kata's own sets included.
func (m machine) addFD(ctx context.Context, f *os.File, marker string) (int64, error) {
	var added struct {
		ID int64 `json:"fdset-id"`
	}
	err := m.ExecuteWithFile(ctx, "add-fd", map[string]string{"opaque": marker}, f, &added)
	return added.ID, err
}

func (m machine) removeFD(ctx context.Context, set int64) error {
	return m.Execute(ctx, "remove-fd", map[string]int64{"fdset-id": set}, nil)
}

func (m machine) running(ctx context.Context) (bool, error) {
	var status struct{ Running bool }
	err := m.Execute(ctx, "query-status", nil, &status)
	return status.Running, err
}

// fdsetPath is how QEMU opens a descriptor that it was given.
func fdsetPath(set int64) string { return fmt.Sprintf("/dev/fdset/%d", set) }
