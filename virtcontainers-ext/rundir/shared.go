// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The folders below the root that are no sandbox's: their names are no ids, so
// that no sandbox can be called so. They stay when the sandboxes have gone.
const (
	metricsFolder = "_metrics"
	tracesFolder  = "_traces"
	// sharedMode lets others read, which are not root: node_exporter, and
	// OpenTelemetry's collector.
	sharedMode = 0o755
)

// MetricsPath is the folder of the node's metrics.
func MetricsPath(root string) string { return filepath.Join(root, metricsFolder) }

// OpenMetrics opens the folder of the node's metrics, and makes it where it is
// missing.
func OpenMetrics(root string) (*os.Root, error) { return openShared(root, MetricsPath(root)) }

// TracesPath is the folder of the node's traces.
func TracesPath(root string) string { return filepath.Join(root, tracesFolder) }

// OpenTraces opens the folder of the node's traces, and makes it where it is
// missing.
func OpenTraces(root string) (*os.Root, error) { return openShared(root, TracesPath(root)) }

func openShared(root, path string) (*os.Root, error) {
	if err := os.Mkdir(root, rootMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating %s: %w", root, err)
	}
	r, err := openPrivate(root)
	if err != nil {
		return nil, err
	}
	defer closeRoot(r)
	if err := widen(r, rootMode); err != nil {
		return nil, err
	}
	if err := r.Mkdir(filepath.Base(path), sharedMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating %s: %w", path, err)
	}
	dir, err := openPrivate(path)
	if err != nil {
		return nil, err
	}
	if err := widen(dir, sharedMode); err != nil {
		closeRoot(dir)
		return nil, err
	}
	return dir, nil
}

// widen gives a folder that mode at least: a umask, or an earlier release, may
// have given it less.
func widen(dir *os.Root, mode fs.FileMode) error {
	st, err := dir.Stat(".")
	if err == nil && st.Mode().Perm()&mode != mode {
		err = dir.Chmod(".", st.Mode().Perm()|mode)
	}
	if err != nil {
		return fmt.Errorf("letting others pass through %s: %w", dir.Name(), err)
	}
	return nil
}
