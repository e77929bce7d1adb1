// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// bootLimit is generous: an emulated node is up after some 10 seconds.
	bootLimit = 3 * time.Minute
	// answerLimit is how long a busy node may leave a question open.
	answerLimit = 2 * time.Minute
	// A port that was free may be taken before QEMU has it.
	portAttempts = 3
)

// Node is a running node.
type Node struct {
	config  *Config
	folder  string
	keys    *keys
	root    string
	payload string
	disks   []string
	process *process
	console *console
	client  *ssh.Client

	lost  chan struct{}
	cause error
	once  sync.Once
	stop  context.CancelFunc
	// watched is closed when nobody watches over the node any more.
	watched chan struct{}
}

// Boot starts a node and waits until commands can be run in it. Close must be
// called. Errors that a fresh node may not have wrap ErrInfrastructure.
func Boot(ctx context.Context, config Config) (_ *Node, err error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	started := time.Now()
	folder, err := NewFolder(config.Build)
	if err != nil {
		return nil, err
	}
	n := newNode(&config, folder)
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.makeDisks(); err != nil {
		return nil, err
	}
	if err := n.bootUp(ctx); err != nil {
		return nil, err
	}
	config.logf("up after %.1f s", time.Since(started).Seconds())
	return n, nil
}

func newNode(config *Config, folder string) *Node {
	return &Node{config: config, folder: folder, lost: make(chan struct{}), stop: func() {}, watched: make(chan struct{})}
}

// makeDisks makes what is new for each node.
func (n *Node) makeDisks() (err error) {
	if n.keys, err = newKeys(); err != nil {
		return err
	}
	if n.payload, err = makePayload(n.config, n.folder, n.keys); err != nil {
		return err
	}
	if n.root, err = n.config.rootDisk(n.folder); err != nil {
		return err
	}
	for i, disk := range n.config.Disks {
		path, err := disk.create(n.folder, i)
		if err != nil {
			return err
		}
		n.disks = append(n.disks, path)
	}
	return nil
}

// bootUp starts the node's machine and connects to it.
func (n *Node) bootUp(ctx context.Context) error {
	port, err := n.startOnFreePort(ctx)
	if err != nil {
		return err
	}
	return n.connect(ctx, port, n.keys)
}

func (n *Node) startOnFreePort(ctx context.Context) (int, error) {
	for attempt := 1; ; attempt++ {
		port, err := freePort()
		if err != nil {
			return 0, err
		}
		err = n.start(ctx, n.arguments(port))
		if err == nil {
			return port, nil
		}
		if attempt == portAttempts || !errors.Is(err, errPortTaken) {
			return 0, err
		}
	}
}

var errPortTaken = errors.New("the port for the node was taken meanwhile")

// start starts QEMU and waits for the node's sshd.
func (n *Node) start(ctx context.Context, args []string) error {
	process, err := startQEMU(args, n.folder)
	if err != nil {
		return err
	}
	n.process = process
	n.console = newConsole(n.ConsolePath())
	listening := n.console.await("Server listening on")
	go func() {
		if err := n.console.follow(process.output); err != nil {
			n.config.logf("%v", err)
		}
		process.Wait()
	}()
	limit := time.NewTimer(bootLimit)
	defer limit.Stop()
	select {
	case <-listening:
		return nil
	case err := <-n.console.lost:
		return err
	case <-process.Ended():
		return n.qemuEnded()
	case <-limit.C:
		return fmt.Errorf("%w: not up after %v; its console ends with:\n%s", ErrInfrastructure, bootLimit, n.console.tail(20))
	case <-ctx.Done():
		return fmt.Errorf("booting the node: %w", context.Cause(ctx))
	}
}

// qemuEnded says why QEMU ended before its time.
func (n *Node) qemuEnded() error {
	messages, err := os.ReadFile(filepath.Join(n.folder, "qemu.log"))
	if err != nil {
		return err
	}
	if strings.Contains(string(messages), "host forwarding rule") {
		return errPortTaken
	}
	return fmt.Errorf("%w: QEMU ended: %w: %s; its console ends with:\n%s", ErrInfrastructure, errOrOK(n.process.Err()), strings.TrimSpace(string(messages)), n.console.tail(20))
}

func errOrOK(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// freePort finds a port on the loopback address that nobody has.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a port for the node: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// Lost is closed when the node is: a signature on its console, the end of
// QEMU, no answer. Cause then says which.
func (n *Node) Lost() <-chan struct{} { return n.lost }

// Cause is why the node was lost; only after Lost is closed.
func (n *Node) Cause() error { return n.cause }

func (n *Node) lose(cause error) {
	n.once.Do(func() {
		n.cause = cause
		close(n.lost)
	})
}

// ConsolePath is the file with what the node's kernel and init printed.
func (n *Node) ConsolePath() string { return filepath.Join(n.folder, "console.log") }

// Close ends the node and removes its files. It may be called more than once.
func (n *Node) Close() error {
	n.halt()
	if err := os.RemoveAll(n.folder); err != nil {
		return fmt.Errorf("removing the node's files: %w", err)
	}
	return nil
}

// halt takes the power from the node.
func (n *Node) halt() {
	n.stop()
	if n.client != nil {
		// Without an answer from a node that is about to be killed.
		_ = n.client.Close()
	}
	if n.process != nil {
		n.process.Kill()
	}
}
