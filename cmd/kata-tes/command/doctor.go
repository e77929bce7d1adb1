// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/doctor"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/install"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
)

func newDoctor() *cobra.Command {
	var (
		format  = output.Table
		options doctor.Options
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that a trusted store needs on this node",
		Long: `Check everything that a trusted store needs on this node, from devices and
programs over the configurations of containerd and Kata to the monitor and the
guest of each running sandbox, and say what is wrong and what to do. Nothing is
changed. It works before, after and without an installation.

Each check is ok, warning, wrong or unknown (it could not be made).

Exit status: 0 where nothing is wrong or unknown, else 1.`,
		Example: `  # what is missing for a handler, before it is installed
  kata-tes doctor --runtime kata-qemu-tdx

  # what is wrong, for a script
  kata-tes doctor -o json | jq -r '.findings[] | select(.outcome == "wrong") | .remedy'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options.Version = cmd.Root().Version
			findings, err := doctor.Examine(cmd.Context(), options)
			if err != nil {
				return err
			}
			if err := printFindings(cmd.OutOrStdout(), format, findings); err != nil {
				return err
			}
			if !findings.AllWell() {
				return errFound
			}
			return nil
		},
	}
	formatFlag(cmd, &format)
	cmd.Flags().StringVar(&options.Root, "root", "/", "the node's root folder, where it is mounted in a container")
	cmd.Flags().StringSliceVar(&options.Runtimes, "runtime", nil, "handlers to look at (default those that run behind kata-tes)")
	cmd.Flags().StringVar(&options.ContainerdConfig, "containerd-config", "", "containerd's main configuration file, as the node has it (default where it usually is)")
	completeBy(cmd, "root", folders)
	completeBy(cmd, "runtime", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return install.Available(install.Options{Root: options.Root, ContainerdConfig: options.ContainerdConfig}), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// printFindings has a paragraph for each subject, and below each finding that
// isn't ok what to do.
func printFindings(w io.Writer, format output.Format, findings doctor.Findings) error {
	if format == output.JSON {
		return format.Print(w, struct {
			OK       bool            `json:"ok"`
			Findings doctor.Findings `json:"findings"`
		}{findings.AllWell(), findings}, nil, nil)
	}
	outcomes, checks := 0, 0
	for _, f := range findings {
		outcomes, checks = max(outcomes, len(f.Outcome)), max(checks, len(f.Check))
	}
	var text strings.Builder
	subject := ""
	for _, f := range findings {
		if f.Subject != subject {
			subject = f.Subject
			fmt.Fprintln(&text, subject)
		}
		fmt.Fprintf(&text, "  %-*s  %-*s  %s\n", outcomes, f.Outcome, checks, f.Check, f.Detail)
		if f.Remedy != "" {
			fmt.Fprintf(&text, "  %*s  → %s\n", outcomes+2+checks, "", f.Remedy)
		}
	}
	text.WriteString("\n" + summary(findings) + "\n")
	_, err := io.WriteString(w, text.String())
	return err
}

// summary counts the outcomes that there are: "23 ok, 1 wrong".
func summary(findings doctor.Findings) string {
	var counts []string
	for _, outcome := range []doctor.Outcome{doctor.OK, doctor.Warning, doctor.Wrong, doctor.Unknown} {
		if n := findings.Count(outcome); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	return strings.Join(counts, ", ")
}
