// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/kata-tes/kata-tes/functional-tests/daemon"
)

// ports on the loopback address.
type ports struct{ etcd, peer, api int }

func (ports) address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports that nobody has. All are held until all are known, or
// two might be the same.
func freePorts() (ports, error) {
	found := make([]int, 3)
	for i := range found {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports{}, fmt.Errorf("finding ports for the control plane: %w", err)
		}
		defer func() { _ = listener.Close() }()
		found[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports{etcd: found[0], peer: found[1], api: found[2]}, nil
}

// start starts one program and waits until it is ready.
func (c *ControlPlane) start(ctx context.Context, name, path string, flags []string, ready func(context.Context) error) error {
	log, err := os.Create(c.path(name + ".log"))
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, flags...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = c.folder
	process, err := daemon.Start(cmd)
	if err != nil {
		return err
	}
	go process.Wait()
	c.running = append(c.running, program{name, process})
	return c.await(ctx, name, ready)
}

// await asks until the program that was started last is ready, or one of them
// has ended.
func (c *ControlPlane) await(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	process := c.running[len(c.running)-1].process
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-process.Ended():
			return fmt.Errorf("%s ended at once: %w; it said: %s", name, process.Err(), c.tail(name))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w); it said: %s", name, err, context.Cause(ctx), c.tail(name))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tail is the end of a program's log.
func (c *ControlPlane) tail(name string) string {
	const most = 2000
	content, err := os.ReadFile(c.path(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-most):])
}

func always(context.Context) error { return nil }

func (c *ControlPlane) etcdReady(ctx context.Context) error {
	return get(ctx, http.DefaultClient, "http://"+c.ports.address(c.ports.etcd)+"/health", "")
}

func (c *ControlPlane) apiserverReady(ctx context.Context) error { return c.get(ctx, "/readyz") }

// serviceAccountReady: the controllers have made the account that pods use.
func (c *ControlPlane) serviceAccountReady(ctx context.Context) error {
	return c.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default")
}

func (c *ControlPlane) get(ctx context.Context, path string) error {
	authority, err := os.ReadFile(c.path("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	return get(ctx, &http.Client{Transport: transport}, "https://"+c.ports.address(c.ports.api)+path, c.tokens.admin)
}

func get(ctx context.Context, client *http.Client, url, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(answer.Body, 500))
		return errors.Join(fmt.Errorf("%s: %s: %s", url, answer.Status, text), err)
	}
	return nil
}
