// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command standin is the functional tests' kata-agent. It answers Kata's own
// agent protocol (ttrpc over vsock, port 1024), so that the stock Kata runtime
// boots and drives a pod's virtual machine, and does what kata-agent and CoCo's
// image-rs do: it sets up the guest's network, pulls images in the guest, and
// runs containers, by runc. It also writes down what it was asked, so that tests
// can prove what happened in which order.
//
// Not the real thing: there is no policy, no attestation, no encrypted or signed
// image.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/containerd/ttrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/guest/image"
)

const (
	agentPort   = 1024
	consolePort = 1026
)

func main() {
	log.SetPrefix("standin: ")
	log.SetFlags(log.Lmicroseconds)
	registries := flag.String("registries", "/etc/containers/registries.conf", "where images come from (containers-registries.conf(5))")
	records := flag.String("records", "/run/standin", "folder in which every CreateContainer is written down")
	shell := flag.String("shell", "/bin/sh", "what the debug console runs")
	flag.Parse()
	if err := run(*records, *registries, *shell); err != nil {
		log.Fatal(err)
	}
}

// run serves until a listener fails; both are needed.
func run(records, registries, shell string) error {
	// Containers' processes outlive the runc that made them: they become ours.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the subreaper: %w", err)
	}
	from, err := image.ReadRegistries(registries)
	if err != nil {
		return err
	}
	recorder, err := newRecorder(records)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return fmt.Errorf("making the ttrpc server: %w", err)
	}
	agent.RegisterAgentServiceService(server, newService(recorder, newContainers(guestFolders, image.NewStore(image.WorkDir, from))))
	agent.RegisterHealthService(server, health{})

	agentListener, err := vsock.Listen(agentPort, nil)
	if err != nil {
		return fmt.Errorf("listening on vsock port %d: %w", agentPort, err)
	}
	consoleListener, err := vsock.Listen(consolePort, nil)
	if err != nil {
		return fmt.Errorf("listening on vsock port %d: %w", consolePort, err)
	}

	failed := make(chan error, 2)
	go func() {
		failed <- fmt.Errorf("serving the agent protocol: %w", server.Serve(context.Background(), agentListener))
	}()
	go func() { failed <- fmt.Errorf("serving the debug console: %w", serveConsole(consoleListener, shell)) }()
	log.Printf("listening on vsock ports %d (agent) and %d (console)", agentPort, consolePort)
	return <-failed
}
