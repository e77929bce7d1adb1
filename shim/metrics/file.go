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
	// CallsFileName is the one with ForwardedCalls alone. Each shim writes it
	// once a minute, and a process that goes through the other one as often has
	// a heap twice as large.
	CallsFileName = "kata-tes-calls.prom"

	newSuffix = ".new"
	fileMode  = 0o644
)

// file is one of the node's.
type file struct {
	name       string
	counters   []Counter
	histograms []Histogram
}

var (
	eventsFile = file{FileName, counters, histograms}
	callsFile  = file{CallsFileName, []Counter{ForwardedCalls}, nil}
)

// of takes from events what goes into this file.
func (f file) of(events map[string]float64) map[string]float64 {
	mine := map[string]float64{}
	for series, n := range events {
		if (series == ForwardedCalls.name) == (f.name == CallsFileName) {
			mine[series] = n
		}
	}
	return mine
}

// merge adds events to the node's files, and takes what it has added from
// events. A file that is missing is made with zeros.
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

	for _, f := range []file{eventsFile, callsFile} {
		mine := f.of(events)
		if _, err := dir.Lstat(f.name); err == nil && len(mine) == 0 {
			continue
		}
		if err := f.update(dir, mine, log); err != nil {
			return err
		}
		for series := range mine {
			delete(events, series)
		}
	}
	return nil
}

// update adds events to the file. The caller has the lock.
func (f file) update(dir *os.Root, events map[string]float64, log *logrus.Entry) error {
	before, err := read(dir, f.name)
	if err != nil {
		return err
	}
	all, err := parse(before)
	if err != nil {
		log.WithError(err).Warn("the node's metrics are damaged and start again with zero")
		all = nil
	}
	after := format(f.add(all, events))
	if len(after) > maxText {
		return fmt.Errorf("the node's metrics would have %d bytes, more than %d; remove %s/%s", len(after), maxText, dir.Name(), f.name)
	}
	if after == before {
		return nil
	}
	return write(dir, f.name, after)
}

func read(dir *os.Root, name string) (text string, err error) {
	f, err := dir.Open(name)
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
func write(dir *os.Root, name, text string) (err error) {
	f, err := dir.OpenFile(name+newSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("writing the metrics: %w", err)
	}
	_, err = f.WriteString(text)
	// Whatever the umask is.
	if err = errors.Join(err, f.Chmod(fileMode), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the metrics: %w", err), dir.Remove(name+newSuffix))
	}
	if err := dir.Rename(name+newSuffix, name); err != nil {
		return fmt.Errorf("replacing the metrics: %w", err)
	}
	return nil
}
