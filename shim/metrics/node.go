// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// Node is this process's access to the node's metrics. A nil Node counts
// nothing.
type Node struct {
	root string
	log  *logrus.Entry

	mu sync.Mutex
	// pending are events that the file does not have yet, by series.
	pending map[string]uint64
	// writing says that a goroutine brings them there.
	writing bool
	work    sync.WaitGroup
}

// Open begins to count in the folder of metrics below root (package rundir).
// The file is made with zeros, in the background, where it is missing; where it
// is there, a pod that counts nothing costs no more than a look.
func Open(root string, log *logrus.Entry) *Node {
	n := &Node{root: root, log: log, pending: map[string]uint64{}}
	if _, err := os.Stat(filepath.Join(rundir.MetricsPath(root), FileName)); err != nil {
		n.writing = true
		n.work.Go(n.write)
	}
	return n
}

// Add counts one event. value is that of the counter's label, empty for a
// counter without one. It never waits.
func (n *Node) Add(c Counter, value string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending[c.series(value)]++
	if !n.writing {
		n.writing = true
		n.work.Go(n.write)
	}
}

// Close brings what is still pending to the file, within the lock's time limit.
// Nobody waits for an Add that comes after it.
func (n *Node) Close() {
	if n == nil {
		return
	}
	n.work.Wait()
	n.mu.Lock()
	retry := len(n.pending) > 0
	n.writing = retry
	n.mu.Unlock()
	if retry {
		n.write()
	}
}

// write brings events to the file until there are none, or it can't.
func (n *Node) write() {
	for first := true; ; first = false {
		n.mu.Lock()
		events := n.pending
		if len(events) == 0 && !first {
			n.writing = false
			n.mu.Unlock()
			return
		}
		n.pending = map[string]uint64{}
		n.mu.Unlock()
		if err := merge(n.root, events, n.log); err != nil {
			n.log.WithError(err).Warn("the node's metrics could not be written; the next event tries again")
			n.putBack(events)
			return
		}
	}
}

// putBack keeps events for the next try.
func (n *Node) putBack(events map[string]uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for series, count := range events {
		n.pending[series] += count
	}
	n.writing = false
}
