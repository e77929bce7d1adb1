// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command standin is the functional tests' kata-agent. It answers Kata's own
// agent protocol (ttrpc over vsock, port 1024), so that the stock Kata runtime
// boots and drives a pod's virtual machine, and it writes down what it was
// asked, so that tests can prove what happened in which order.
//
// Not the real thing: there are no namespaces, no root file systems and no
// images. A container's processes are programs of the guest image, started in
// the guest's own root.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/containerd/ttrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"github.com/mdlayher/vsock"
)

const (
	agentPort   = 1024
	consolePort = 1026
)

func main() {
	log.SetPrefix("standin: ")
	log.SetFlags(log.Lmicroseconds)
	records := flag.String("records", "/run/standin", "folder in which every CreateContainer is written down")
	shell := flag.String("shell", "/bin/sh", "what the debug console runs")
	flag.Parse()
	if err := run(*records, *shell); err != nil {
		log.Fatal(err)
	}
}

// run serves until a listener fails; both are needed.
func run(records, shell string) error {
	recorder, err := newRecorder(records)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return fmt.Errorf("making the ttrpc server: %w", err)
	}
	agent.RegisterAgentServiceService(server, newService(recorder))
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
