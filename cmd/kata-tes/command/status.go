// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/status"
)

func newStatus() *cobra.Command {
	var (
		format = output.Table
		root   string
	)
	cmd := &cobra.Command{
		Use:   "status [POD|SANDBOX]",
		Short: "Show the trusted stores of this node",
		Long: `Show the sandboxes of this node that run behind kata-tes, and what became of
their trusted stores. POD is namespace/name or a name alone, SANDBOX an id or the
beginning of one.

Each sandbox's own process is asked, which asks its guest for size, use and
profile. One that does not answer within five seconds is shown as unknown, with
the reason below the table. AGE is how long the store is in its state.

What is wrong with a node, and what to do, is said by 'kata-tes doctor'.`,
		Example: `  # all stores of this node
  kata-tes status

  # one pod's
  kata-tes status shop/web

  # those that are not ready, for a script
  kata-tes status -o json | jq '.sandboxes[] | select(.state != "ready")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%q takes one pod or sandbox, got %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			rows, err := status.Below(root).Collect(cmd.Context())
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return statusNames(rows), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, err := status.Below(root).Collect(cmd.Context())
			if err == nil && len(args) == 1 {
				rows, err = status.Choose(rows, args[0])
			}
			if err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), format, rows)
		},
	}
	formatFlag(cmd, &format)
	cmd.Flags().StringVar(&root, "root", "/", "the node's root folder, where it is mounted in a container")
	completeBy(cmd, "root", folders)
	return cmd
}

// statusNames are what an argument may be.
func statusNames(rows []status.Row) []string {
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		if name := row.Name(); name != "" {
			names = append(names, name)
		} else {
			names = append(names, row.Sandbox)
		}
	}
	return names
}

func printStatus(w io.Writer, format output.Format, rows []status.Row) error {
	if rows == nil {
		rows = []status.Row{} // JSON's empty list
	}
	if format == output.Table && len(rows) == 0 {
		fmt.Fprintln(w, "No sandbox of this node runs behind kata-tes.")
		return nil
	}
	var (
		lines []output.Row
		notes []string
		now   = time.Now()
	)
	for _, row := range rows {
		lines = append(lines, row.Line(now))
		notes = append(notes, row.Notes()...)
	}
	value := struct {
		Sandboxes []status.Row `json:"sandboxes"`
	}{rows}
	if err := format.Print(w, value, status.Head, lines); err != nil {
		return err
	}
	if format == output.JSON || len(notes) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	for _, note := range notes {
		fmt.Fprintln(w, note)
	}
	return nil
}
