// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"github.com/spf13/cobra"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
)

// formatFlag gives a command the flag --output.
func formatFlag(cmd *cobra.Command, format *output.Format) {
	const name = "output"
	cmd.Flags().VarP(format, name, "o", "how to print: table or json")
	// Fails only for a flag that isn't there.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(
		[]string{string(output.Table), string(output.JSON)}, cobra.ShellCompDirectiveNoFileComp))
}
