// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// collectPause is how late forwarded calls may be in the file.
const collectPause = time.Minute

// Node is this process's access to the node's metrics. A nil Node counts
// nothing. Its methods may be called at the same time.
type Node struct {
	root string
	log  *logrus.Entry

	// forwarded are calls that pending does not have yet. collecting says that
	// somebody will put them there.
	forwarded  atomic.Uint64
	collecting atomic.Bool

	mu sync.Mutex
	// collector is the timer that does so; nil before the first call.
	collector *time.Timer
	// pending are events that the file does not have yet, by series.
	pending map[string]float64
	// writing is closed by the goroutine that brings them there when it ends;
	// nil while there is none.
	writing chan struct{}
}

// Open begins to count in the folder of metrics below root (package rundir).
// The file is made with zeros, in the background, where it is missing; where it
// is there, a pod that counts nothing costs no more than a look.
func Open(root string, log *logrus.Entry) *Node {
	n := &Node{root: root, log: log, pending: map[string]float64{}}
	if _, err := os.Stat(filepath.Join(rundir.MetricsPath(root), FileName)); err != nil {
		n.begin()
	}
	return n
}

// Add counts one event. value is that of the counter's label, empty for a
// counter without one. It never waits.
func (n *Node) Add(c Counter, value string) { n.AddMany(c, value, 1) }

// AddMany is Add for a counter of more than events.
func (n *Node) AddMany(c Counter, value string, many uint64) {
	n.note(func(pending map[string]float64) { pending[c.series(value)] += float64(many) })
}

// Observe notes how long something took. What is not one of the histogram's
// values of its label is left out. It never waits.
func (n *Node) Observe(h Histogram, value string, took time.Duration) {
	if h.knows(value) {
		n.note(func(pending map[string]float64) { h.observe(pending, value, took) })
	}
}

// note adds to what is pending.
func (n *Node) note(add func(pending map[string]float64)) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	add(n.pending)
	if n.writing == nil {
		n.begin()
	}
}

// Forwarded counts one of ForwardedCalls. There are too many of them for a write
// each: they go to the file with the next event, or with the collector.
func (n *Node) Forwarded() {
	if n == nil {
		return
	}
	n.forwarded.Add(1)
	if !n.collecting.Load() && n.collecting.CompareAndSwap(false, true) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.collector = time.AfterFunc(collectPause, n.collect)
	}
}

// collect has the forwarded calls written.
func (n *Node) collect() {
	n.collecting.Store(false)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.takeForwarded(); len(n.pending) > 0 && n.writing == nil {
		n.begin()
	}
}

// takeForwarded makes pending of what was forwarded. The caller holds mu.
func (n *Node) takeForwarded() {
	if calls := n.forwarded.Swap(0); calls > 0 {
		n.pending[ForwardedCalls.series("")] += float64(calls)
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
	if n.collector != nil {
		n.collector.Stop()
	}
	n.mu.Unlock()
	n.collect()
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
		n.takeForwarded()
		events := n.pending
		if len(events) == 0 && !first {
			n.writing = nil
			n.mu.Unlock()
			return
		}
		n.pending = map[string]float64{}
		n.mu.Unlock()
		if err := merge(n.root, events, n.log); err != nil {
			n.log.WithError(err).Warn("the node's metrics could not be written; the next event tries again")
			n.putBack(events)
			return
		}
	}
}

// putBack keeps events for the next try.
func (n *Node) putBack(events map[string]float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for series, count := range events {
		n.pending[series] += count
	}
	n.writing = nil
}
