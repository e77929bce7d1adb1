// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/sirupsen/logrus"
)

// New makes the store of that name by the guest's configuration, and takes over
// what an earlier process left.
func New(name string, c config.Config, run command.Runner, log *logrus.Entry) (*Store, error) {
	s := c.Stores[name]
	work := &pipeline{
		config: s,
		record: filepath.Join(c.HeaderDirectory, name+".json"),
		parts: guestParts{
			run:       run,
			tools:     c.Tools,
			directory: c.HeaderDirectory,
			header:    filepath.Join(c.HeaderDirectory, name+".luks2"),
			mapping:   s.Mapping,
			profile:   s.Profile,
		},
	}
	made, err := resume(work, time.Duration(s.PrepareTimeout), log.WithField("store", name))
	if err != nil {
		return nil, err
	}
	made.profile = s.Profile.Name
	return made, nil
}

// resume begins where the process before ended. What it left half done is not
// undone by itself: a disk that hangs would keep this process from serving.
// Release does it.
func resume(w work, limit time.Duration, log *logrus.Entry) (*Store, error) {
	s := &Store{work: w, limit: limit, log: log}
	a := &attempt{done: make(chan struct{})}
	close(a.done)
	marker, ready, err := w.found(&a.undo)
	switch {
	case marker == "" && err != nil:
		return nil, err
	case marker == "":
		return s, nil
	case err != nil:
		a.dirty = fmt.Errorf("the agent extension was started again while it worked: %w", err)
		log.WithField("marker", marker).WithError(err).Warn("an earlier process left something; Release undoes it")
	default:
		a.ready = ready
		log.WithField("marker", marker).Info("the store of an earlier process is ready")
	}
	a.marker = marker
	s.current = a
	return s, nil
}
