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
// nothing. Its methods may be called at the same time.
type Node struct {
	root string
	log  *logrus.Entry

	mu sync.Mutex
	// pending are events that the file does not have yet, by series.
	pending map[string]uint64
	// writing is closed by the goroutine that brings them there when it ends;
	// nil while there is none.
	writing chan struct{}
}

// Open begins to count in the folder of metrics below root (package rundir).
// The file is made with zeros, in the background, where it is missing; where it
// is there, a pod that counts nothing costs no more than a look.
func Open(root string, log *logrus.Entry) *Node {
	n := &Node{root: root, log: log, pending: map[string]uint64{}}
	if _, err := os.Stat(filepath.Join(rundir.MetricsPath(root), FileName)); err != nil {
		n.begin()
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
	if n.writing == nil {
		n.begin()
	}
}

// Close brings what is still pending to the file, within the lock's time limit.
// Nobody waits for an Add that comes after it.
func (n *Node) Close() {
	if n == nil {
		return
	}
	n.await()
	n.mu.Lock()
	if len(n.pending) > 0 && n.writing == nil {
		n.begin()
	}
	n.mu.Unlock()
	n.await()
}

// await waits for the goroutine that writes, if there is one.
func (n *Node) await() {
	n.mu.Lock()
	writing := n.writing
	n.mu.Unlock()
	if writing != nil {
		<-writing
	}
}

// begin starts the goroutine that writes. The caller holds mu, or is the only
// one to know n.
func (n *Node) begin() {
	ended := make(chan struct{})
	n.writing = ended
	go func() {
		defer close(ended)
		n.write()
	}()
}

// write brings events to the file until there are none, or it can't.
func (n *Node) write() {
	for first := true; ; first = false {
		n.mu.Lock()
		events := n.pending
		if len(events) == 0 && !first {
			n.writing = nil
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
	n.writing = nil
}
