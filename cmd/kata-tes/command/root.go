// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of kata-tes: one file for each command,
// which turns flags into a call of the package that does the work and prints
// what comes of it. Nothing else is done here.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit statuses, for scripts.
const (
	// Done: all was as asked.
	Done = 0
	// Failed: something went wrong, or a check found what must be mended.
	Failed = 1
	// Usage: the command line itself is wrong; nothing was looked at.
	Usage = 2
)

// Streams are where a command writes. What it says goes to Out, what went wrong
// to Err.
type Streams struct{ Out, Err io.Writer }

// errFound ends a command whose findings are printed already.
var errFound = errors.New("something was found that must be mended")

// usageError marks what is wrong with the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run carries out one command line (without the program's name) and gives the
// process's exit status.
func Run(ctx context.Context, version string, streams Streams, args []string) int {
	root := newRoot(version)
	root.SetArgs(args)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &usage):
		fmt.Fprintf(streams.Err, "kata-tes: %v\nSee 'kata-tes --help'.\n", err)
		return Usage
	case errors.Is(err, errFound):
		return Failed
	}
	fmt.Fprintf(streams.Err, "kata-tes: %v\n", err)
	return Failed
}

func newRoot(version string) *cobra.Command {
	root := &cobra.Command{
		Use:   "kata-tes",
		Short: "Trusted ephemeral storage for confidential pods: install it, check it, see what it does",
		Long: `kata-tes puts trusted ephemeral storage on a node with Kata Containers and into
a guest image, says what is missing, shows the stores of the node, and takes
everything out again.

Exit status: 0 done, 1 failed or something to mend was found, 2 wrong usage.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(commands()...)
	return root
}

// commands are all of them, in the order in which an operator meets them.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newDoctor(),
		newGuestImage(),
		newInstall(),
		newMetrics(),
		newStatus(),
		newUninstall(),
		newWait(), newUnlabel(), newRollout(),
	}
}

// noArguments is for commands that have flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}
