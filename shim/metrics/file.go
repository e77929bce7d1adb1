// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/shim/nodelock"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// FileName is the file in the folder of metrics. node_exporter reads what
	// ends with .prom.
	FileName = "kata-tes.prom"
	newName  = FileName + ".new"
	fileMode = 0o644
)

// merge adds events to the node's file.
func merge(root string, events map[string]float64, log *logrus.Entry) (err error) {
	dir, err := rundir.OpenMetrics(root)
	if err != nil {
		return fmt.Errorf("opening the folder of metrics: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	lock, err := nodelock.Take(dir)
	if err != nil {
		return fmt.Errorf("locking the metrics: %w", err)
	}
	// Closing lets go of it, as does the process's end.
	defer func() { err = errors.Join(err, lock.Close()) }()

	before, err := read(dir)
	if err != nil {
		return err
	}
	all, err := parse(before)
	if err != nil {
		log.WithError(err).Warn("the node's metrics are damaged and start again with zero")
		all = nil
	}
	after := format(add(all, events))
	if len(after) > maxText {
		return fmt.Errorf("the node's metrics would have %d bytes, more than %d; remove %s", len(after), maxText, rundir.MetricsPath(root)+"/"+FileName)
	}
	if after == before {
		return nil
	}
	return write(dir, after)
}

func read(dir *os.Root) (text string, err error) {
	f, err := dir.Open(FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening the metrics: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// One byte more than allowed tells parse that there is too much.
	content, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	return string(content), nil
}

// write replaces the file. It isn't synced: it ends with the boot anyway.
func write(dir *os.Root, text string) (err error) {
	f, err := dir.OpenFile(newName, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("writing the metrics: %w", err)
	}
	_, err = f.WriteString(text)
	// Whatever the umask is.
	if err = errors.Join(err, f.Chmod(fileMode), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the metrics: %w", err), dir.Remove(newName))
	}
	if err := dir.Rename(newName, FileName); err != nil {
		return fmt.Errorf("replacing the metrics: %w", err)
	}
	return nil
}
