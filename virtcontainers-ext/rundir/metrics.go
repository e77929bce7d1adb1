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

const (
	// metricsFolder is the one folder below the root that is no sandbox's: its
	// name is no id, so that no sandbox can be called so.
	metricsFolder = "_metrics"
	// metricsMode lets node_exporter read, which is not root.
	metricsMode = 0o755
)

// MetricsPath is the folder of the node's metrics.
func MetricsPath(root string) string { return filepath.Join(root, metricsFolder) }

// OpenMetrics opens the folder of the node's metrics, and makes it where it is
// missing. It stays when the sandboxes have gone.
func OpenMetrics(root string) (*os.Root, error) {
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
	if err := r.Mkdir(metricsFolder, metricsMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating %s: %w", MetricsPath(root), err)
	}
	dir, err := openPrivate(MetricsPath(root))
	if err != nil {
		return nil, err
	}
	if err := widen(dir, metricsMode); err != nil {
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
