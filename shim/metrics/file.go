// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// FileName is the file in the folder of metrics. node_exporter reads what
	// ends with .prom.
	FileName = "kata-tes.prom"
	newName  = FileName + ".new"
	lockName = "lock"
	fileMode = 0o644

	// lockLimit is how long the other shims may keep the lock. Each has it for
	// less than a millisecond.
	lockLimit = time.Second
	lockPause = 5 * time.Millisecond
)

// merge adds events to the node's file.
func merge(root string, events map[string]uint64, log *logrus.Entry) (err error) {
	dir, err := rundir.OpenMetrics(root)
	if err != nil {
		return fmt.Errorf("opening the folder of metrics: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	lock, err := take(dir)
	if err != nil {
		return err
	}
	// Closing lets go of it, as does the process's end.
	defer func() { err = errors.Join(err, lock.Close()) }()

	before, err := read(dir)
	if err != nil {
		return err
	}
	families, err := parse(before)
	if err != nil {
		log.WithError(err).Warn("the node's metrics are damaged and start again with zero")
		families = nil
	}
	after := format(add(families, events))
	if len(after) > maxText {
		return fmt.Errorf("the node's metrics would have %d bytes, more than %d; remove %s", len(after), maxText, rundir.MetricsPath(root)+"/"+FileName)
	}
	if after == before {
		return nil
	}
	return write(dir, after)
}

// take waits for the lock. Not by a call that blocks: a shim that was stopped
// with the lock in its hand must not stop all others for ever.
func take(dir *os.Root) (*os.File, error) {
	lock, err := dir.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the metrics: %w", err)
	}
	for until := time.Now().Add(lockLimit); ; time.Sleep(lockPause) {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return lock, nil
		}
		retry := errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR)
		if !retry || time.Now().After(until) {
			return nil, errors.Join(fmt.Errorf("locking the metrics: %w", err), lock.Close())
		}
	}
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
