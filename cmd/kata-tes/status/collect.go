// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/kata-tes/kata-tes/shim/ocispec"
	"github.com/kata-tes/kata-tes/shim/report"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// askLimit is how long a sandbox's process may take. It gives itself three
// seconds, two of them for its guest.
const askLimit = 5 * time.Second

// Node is where to look.
type Node struct {
	// RunRoot has the sandboxes' folders, /run/kata-tes.
	RunRoot string
	// Bundles has containerd's bundles of Kubernetes' containers, by id.
	Bundles string
	// Sys is where sysfs is mounted, /sys.
	Sys string
	// Limit is how long each sandbox's process may take.
	Limit time.Duration
}

// bundles is containerd's default place for the bundles of its CRI plugin.
const bundles = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"

// Below is a node whose root folder is at that path.
func Below(root string) Node {
	return Node{
		RunRoot: filepath.Join(root, rundir.Root),
		Bundles: filepath.Join(root, bundles),
		Sys:     filepath.Join(root, "/sys"),
		Limit:   askLimit,
	}
}

// Collect asks all sandboxes at once and gives their rows by id. Its error is
// that the sandboxes can't even be listed.
func (n Node) Collect(ctx context.Context) ([]Row, error) {
	ids, err := rundir.List(n.RunRoot)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w; run it as root", err)
	}
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(ids))
	var asking sync.WaitGroup
	for i, id := range ids {
		asking.Go(func() { rows[i] = n.ask(ctx, id) })
	}
	asking.Wait()
	return rows, nil
}

// ask makes one sandbox's row, whatever its process does.
func (n Node) ask(ctx context.Context, id string) Row {
	ctx, cancel := context.WithTimeout(ctx, n.Limit)
	defer cancel()
	row := Row{Sandbox: id, State: Unknown}
	told, err := report.Ask(ctx, rundir.StatusPath(n.RunRoot, id))
	if err == nil {
		row.fill(told, n.volume)
	} else {
		row.Reason, row.Err = err.Error(), err
	}
	if row.Pod == "" {
		row.Namespace, row.Pod = n.podOf(id)
	}
	return row
}

// podOf looks in the sandbox's bundle for the pod of a process that doesn't
// tell. A bundle that isn't there, or is another runtime's affair, tells nothing.
func (n Node) podOf(id string) (namespace, name string) {
	spec, err := ocispec.Read(filepath.Join(n.Bundles, id))
	if err != nil {
		return "", ""
	}
	pod := spec.Pod()
	return pod.Namespace, pod.Name
}
