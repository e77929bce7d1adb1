// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// call is a command line of containerd's.
type call struct {
	// args is the command line without the program, for the inner shim.
	args []string
	// action is "start", "delete", our own "finish", or empty for the serving
	// process.
	action    string
	namespace string
	id        string
	bundle    string
	address   string
	debug     bool
	info      bool
	version   bool
}

var errUsage = errors.New("this program is started by containerd, as runtime type io.containerd.kata-tes.v2; see docs/install.md")

// parseArgs understands what containerd 1.6 to 2.x pass to a shim. A flag that
// it does not know is an error: whether an argument follows it is anybody's
// guess, and the action would be too.
func parseArgs(args []string) (call, error) {
	c := call{args: args}
	flags := flag.NewFlagSet("shim", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.namespace, "namespace", "", "")
	flags.StringVar(&c.id, "id", "", "")
	flags.StringVar(&c.bundle, "bundle", "", "")
	flags.StringVar(&c.address, "address", "", "")
	flags.String("publish-binary", "", "")
	flags.String("socket", "", "")
	flags.BoolVar(&c.debug, "debug", false, "")
	flags.BoolVar(&c.info, "info", false, "")
	flags.BoolVar(&c.version, "v", false, "")
	flags.BoolVar(&c.version, "version", false, "")
	if err := flags.Parse(args); err != nil {
		return call{}, fmt.Errorf("parsing the arguments: %w; %w", err, errUsage)
	}
	c.action = flags.Arg(0)
	if c.info || c.version {
		return c, nil
	}
	switch c.action {
	case "start", "delete", finishing, "":
	default:
		return call{}, fmt.Errorf("unknown action %q; %w", c.action, errUsage)
	}
	if c.id == "" || c.namespace == "" {
		return call{}, fmt.Errorf("-id and -namespace must not be empty; %w", errUsage)
	}
	return c, nil
}

// deleteArgs is the command line with which containerd would ask for the
// deletion of what a `start` command line made.
func (c call) deleteArgs(bundle string) []string {
	args := make([]string, 0, len(c.args)+2)
	for i, arg := range c.args {
		if arg == "start" && i == len(c.args)-1 {
			break
		}
		args = append(args, arg)
	}
	return append(args, "-bundle", bundle, "delete")
}
