// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
)

// ErrInfrastructure says that the node itself failed, not what ran in it: a
// fresh node may do. A failed test is never this.
var ErrInfrastructure = errors.New("the test node failed")

// signatures of a node that is lost. Emulated nested virtualization produces
// them now and then, whatever runs in it.
var signatures = []*regexp.Regexp{
	regexp.MustCompile(`Kernel panic - not syncing`),
	regexp.MustCompile(`rcu: INFO: rcu_\w+ (self-)?detected (expedited )?stalls?`),
	regexp.MustCompile(`watchdog: BUG: soft lockup`),
	regexp.MustCompile(`BUG: unable to handle page fault`),
	regexp.MustCompile(`^node-init: FAILED`),
}

// console keeps what the node prints on its serial console, and looks at it.
type console struct {
	path string

	mu      sync.Mutex
	waiting map[string]chan struct{}
	// lost gets the first signature.
	lost chan error
	// ended is closed when the console is: QEMU is gone.
	ended chan struct{}
}

func newConsole(path string) *console {
	return &console{path: path, waiting: map[string]chan struct{}{}, lost: make(chan error, 1), ended: make(chan struct{})}
}

// await gives a channel that is closed when a line with the words was printed.
func (c *console) await(words string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(chan struct{})
	c.waiting[words] = seen
	return seen
}

// follow reads to the end.
func (c *console) follow(from io.Reader) error {
	defer close(c.ended)
	file, err := os.OpenFile(c.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("keeping the console: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if _, err := file.WriteString(line); err != nil {
			return fmt.Errorf("keeping the console: %w", err)
		}
		c.look(strings.TrimRight(line, "\r\n"))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the console: %w", err)
		}
	}
}

func (c *console) look(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for words, seen := range c.waiting {
		if strings.Contains(line, words) {
			close(seen)
			delete(c.waiting, words)
		}
	}
	for _, signature := range signatures {
		if signature.MatchString(line) {
			select {
			case c.lost <- fmt.Errorf("%w: its console says %q", ErrInfrastructure, line):
			default:
			}
		}
	}
}

// tail is the end of what the console printed, for a message.
func (c *console) tail(lines int) string {
	content, err := os.ReadFile(c.path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\r\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
