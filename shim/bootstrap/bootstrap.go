// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/proxy"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// Name is what containerd's runtime type io.containerd.kata-tes.v2 makes of
// this program.
const Name = "containerd-shim-kata-tes-v2"

// maxInput bounds what is read of standard input, in bytes, as containerd's
// own shims bound it.
const maxInput = 10 << 20

// Hook decides on each Create of a sandbox, and is closed when the sandbox has
// ended.
type Hook interface {
	proxy.Hook
	io.Closer
}

// Sandbox is what the serving process knows of its sandbox.
type Sandbox struct {
	ID       string
	Settings config.Settings
	// RunRoot is where the sandbox's folder is (package rundir).
	RunRoot string
	// EndMachine kills the sandbox's virtual machine.
	EndMachine func(context.Context) error
	Log        *logrus.Entry
}

// Program is the shim as containerd runs it.
type Program struct {
	// Version is what -v prints.
	Version string
	// NewHook makes the hook of a serving process.
	NewHook func(Sandbox) (Hook, error)
	// ConfigPath is the configuration file, RunRoot the parent of the
	// sandboxes' folders.
	ConfigPath string
	RunRoot    string
	Stdin      io.Reader
	Stdout     io.Writer
}

// Run does what the command line says. Nothing is written to Stdout but the
// answer: containerd reads it, together with standard error, as such.
func (p Program) Run(ctx context.Context, args []string) error {
	c, err := parseArgs(args)
	if err != nil {
		return err
	}
	switch {
	case c.version:
		_, err := fmt.Fprintf(p.Stdout, "%s:\n  Version:  %s\n", Name, p.Version)
		return err
	case c.info:
		return p.info(ctx, c)
	case c.action == "start":
		return p.start(ctx, c)
	case c.action == "delete":
		return p.delete(ctx, c)
	case c.action == finishing:
		return p.finish(ctx, c)
	default:
		return p.serve(ctx, c)
	}
}

// settings are those for the runtime options that containerd wrote to our
// standard input.
func (p Program) settings(input []byte) (config.Settings, string, error) {
	path, err := configPath(input)
	if err != nil {
		return config.Settings{}, "", err
	}
	if path == "" {
		// Where Kata looks when containerd names none.
		path = os.Getenv("KATA_CONF_FILE")
	}
	file, err := config.Load(p.ConfigPath)
	if err != nil {
		return config.Settings{}, "", err
	}
	s, err := file.For(path)
	return s, path, err
}

func (p Program) readInput() ([]byte, error) {
	input, err := io.ReadAll(io.LimitReader(p.Stdin, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	if len(input) > maxInput {
		return nil, fmt.Errorf("standard input has more than %d bytes: %w", maxInput, errOptions)
	}
	return input, nil
}

// info answers -info: about the runtime, which is the inner shim's affair.
func (p Program) info(ctx context.Context, c call) error {
	input, err := p.readInput()
	if err != nil {
		return err
	}
	settings, _, err := p.settings(input)
	if err != nil {
		return err
	}
	return runInner(ctx, settings.InnerShim, c.args, input, func(stdout []byte) error {
		_, err := p.Stdout.Write(stdout)
		return err
	})
}

// workingFolder is the bundle: containerd runs shims in it.
func workingFolder() (string, error) {
	bundle, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the bundle: %w", err)
	}
	return bundle, nil
}

// ours says whether the sandbox has a folder: we started it, and it was not
// cleaned up.
func (p Program) ours(id string) bool {
	_, err := rundir.Load(p.RunRoot, id)
	return err == nil
}
