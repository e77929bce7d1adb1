// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// kata-tes-agent is the guest agent extension: it runs in the pod's virtual
// machine beside kata-agent and turns the disk that the host hotplugs into the
// pod's encrypted store.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/guest"
	"github.com/kata-tes/kata-tes/agent-ext/server"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	"github.com/kata-tes/kata-tes/cmd/internal/version"
	"github.com/sirupsen/logrus"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kata-tes-agent:", err)
		os.Exit(1)
	}
}

func run() error {
	path := flag.String("config", config.DefaultPath, "configuration file")
	address := flag.String("listen", "vsock", "vsock, or unix://PATH for tests")
	check := flag.Bool("check", false, "say whether this guest image has what is needed, and exit")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	if *showVersion {
		_, err := fmt.Println("kata-tes-agent", version.Version)
		return err
	}
	c, err := config.Load(*path)
	if err != nil {
		return err
	}
	if err := guest.CheckTools(c); err != nil {
		return err
	}
	if *check {
		_, err := fmt.Println("this guest image has what is needed")
		return err
	}
	return serve(c, *address)
}

// serve is the rest of the process's life.
func serve(c config.Config, address string) error {
	if err := guest.Harden(); err != nil {
		return err
	}
	// At start and not at the first pod. (What can change is looked at again
	// for each store.)
	if err := errors.Join(guest.Kernel{}.Check(c), store.CheckMemory(c.HeaderDirectory)); err != nil {
		return err
	}
	log := logrus.NewEntry(logrus.StandardLogger())
	stores, err := makeStores(c, log)
	if err != nil {
		return err
	}
	listener, err := server.Listen(address)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := guest.NotifyReady(); err != nil {
		return errors.Join(err, listener.Close())
	}
	log.WithField("version", version.Version).Infof("serving on %s", listener.Addr())
	s := &server.Server{Stores: stores, Agent: version.Version, Idle: c.LongestCall() + time.Minute, Log: log}
	return s.Serve(ctx, listener)
}

func makeStores(c config.Config, log *logrus.Entry) (map[string]*store.Store, error) {
	stores := map[string]*store.Store{}
	for name := range c.Stores {
		s, err := store.New(name, c, command.Real{}, log)
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", name, err)
		}
		stores[name] = s
	}
	return stores, nil
}
