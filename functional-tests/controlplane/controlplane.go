// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a Kubernetes control plane on this machine's
// loopback, for one test node: etcd, API server, controller manager and
// scheduler, all real. Keys, tokens and data are made for each run and are gone
// with it.
//
// Nothing of it can be reached but from this machine, and the node cannot reach
// this machine: both ways between API server and kubelet go through the
// connection to the node (package node). For the way to the kubelet the API
// server asks a proxy, by its egress selector.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/kata-tes/kata-tes/functional-tests/daemon"
	"github.com/kata-tes/kata-tes/functional-tests/node"
)

const (
	// NodeAddress is where the node has the API server.
	NodeAddress = "127.0.0.1:6443"
	// startLimit bounds each program's start.
	startLimit = 2 * time.Minute
	// stopPatience is how long a program may take to end when asked to.
	stopPatience = 10 * time.Second
)

// Dialer opens a connection from within the node.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// ControlPlane is one that was made, running or not.
type ControlPlane struct {
	parts  string
	folder string
	log    io.Writer
	ports  ports
	tokens tokens

	egress *egress
	// running are the programs, in the order of their start.
	running []program
}

type program struct {
	name    string
	process *daemon.Process
}

// New makes keys, tokens and configuration of a control plane. build is the
// repository's build folder; log gets a line for what is worth knowing. Close
// must be called.
func New(build string, log io.Writer) (_ *ControlPlane, err error) {
	parts := filepath.Join(build, "parts")
	for _, part := range []string{"kubernetes", "etcd"} {
		if _, err := os.Stat(filepath.Join(parts, part, ".key")); err != nil {
			return nil, fmt.Errorf("the test cluster is not built: run `functional-tests/build.sh all` first (%w)", err)
		}
	}
	folder, err := node.NewFolder(build)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{parts: parts, folder: folder, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.ports, err = freePorts(); err != nil {
		return nil, err
	}
	if err := c.makeKeys(); err != nil {
		return nil, err
	}
	c.tokens = newTokens()
	return c, c.writeFiles()
}

// path of a file in the control plane's folder.
func (c *ControlPlane) path(name string) string { return filepath.Join(c.folder, name) }

// Files are what the node needs, as a payload has them: path there, path here.
func (c *ControlPlane) Files() map[string]string {
	return map[string]string{
		"kubernetes/ca.crt":      c.path("ca.crt"),
		"kubernetes/kubelet":     c.path("kubelet.kubeconfig"),
		"kubernetes/admin":       c.path("admin.kubeconfig"),
		"kubernetes/bin/kubelet": c.kubernetes("kubelet"),
		"kubernetes/bin/kubectl": c.kubernetes("kubectl"),
	}
}

// Admin is the path of a kubeconfig for programs on this machine. It may do
// everything.
func (c *ControlPlane) Admin() string { return c.path("controllers.kubeconfig") }

// Kubectl is the path of kubectl for this machine.
func (c *ControlPlane) Kubectl() string { return c.kubernetes("kubectl") }

// Start starts all of it and returns when the API server and its controllers
// are ready.
func (c *ControlPlane) Start(ctx context.Context) error {
	started := time.Now()
	var err error
	if c.egress, err = newEgress(c.folder); err != nil {
		return err
	}
	if err := c.start(ctx, "etcd", filepath.Join(c.parts, "etcd", "bin", "etcd"), c.etcdFlags(), c.etcdReady); err != nil {
		return err
	}
	if err := c.start(ctx, "kube-apiserver", c.kubernetes("kube-apiserver"), c.apiserverFlags(), c.apiserverReady); err != nil {
		return err
	}
	for name, flags := range map[string][]string{
		"kube-controller-manager": c.controllerFlags(),
		"kube-scheduler":          c.schedulerFlags(),
	} {
		if err := c.start(ctx, name, c.kubernetes(name), flags, always); err != nil {
			return err
		}
	}
	// Without it no pod is admitted, and it shows that the controllers work.
	if err := c.await(ctx, "kube-controller-manager", c.serviceAccountReady); err != nil {
		return err
	}
	fmt.Fprintf(c.log, "control plane: ready after %.1f s\n", time.Since(started).Seconds())
	return nil
}

func (c *ControlPlane) kubernetes(name string) string {
	return filepath.Join(c.parts, "kubernetes", "bin", name)
}

// ConnectNode tells how the node's addresses are reached from now on.
func (c *ControlPlane) ConnectNode(dial Dialer) { c.egress.use(dial) }

// Dial opens a connection to the API server.
func (c *ControlPlane) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.ports.address(c.ports.api))
}

// CopyLogs copies what the programs said to a folder.
func (c *ControlPlane) CopyLogs(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keeping the control plane's logs: %w", err)
	}
	var errs []error
	for _, p := range c.running {
		content, err := os.ReadFile(c.path(p.name + ".log"))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, p.name+".log"), content, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Close ends what runs, the API server before its database, and removes the
// files. It may be called more than once.
func (c *ControlPlane) Close() error {
	for len(c.running) > 0 {
		last := len(c.running) - 1
		c.running[last].process.Stop(stopPatience)
		c.running = c.running[:last]
	}
	var err error
	if c.egress != nil {
		err = c.egress.Close()
		c.egress = nil
	}
	return errors.Join(err, os.RemoveAll(c.folder))
}
