// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"github.com/spf13/cobra"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
)

// formatFlag gives a command the flag --output.
func formatFlag(cmd *cobra.Command, format *output.Format) {
	cmd.Flags().VarP(format, "output", "o", "how to print: table or json")
	complete(cmd, "output", []string{string(output.Table), string(output.JSON)})
}
