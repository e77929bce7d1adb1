// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import "github.com/spf13/cobra"

// Root is the whole tree of commands, for what describes them (man pages). Run
// carries them out.
func Root(version string) *cobra.Command { return newRoot(version) }
