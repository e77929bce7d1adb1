// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/cluster"
	"github.com/spf13/cobra"
)

// newRollout is for the Helm chart's job alone, hence hidden.
func newRollout() *cobra.Command {
	var patch string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:    "rollout DAEMONSET --patch JSON",
		Short:  "In a pod: change a DaemonSet and wait until all of its nodes are done",
		Hidden: true,
		Long: `Changes a DaemonSet of the pod's namespace by a merge patch and waits until the
changed pod is ready on each of its nodes. The Helm chart's job calls it before
an uninstallation, to take kata-tes out of every node.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%q takes the name of one DaemonSet, got %d arguments", cmd.CommandPath(), len(args))
			}
			if !json.Valid([]byte(patch)) {
				return usagef("--patch is no JSON: %.80q", patch)
			}
			if timeout <= 0 {
				return usagef("--timeout must be more than nothing, got %s", timeout)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := cluster.InCluster()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return client.Rollout(ctx, args[0], []byte(patch), func(step string) { fmt.Fprintln(cmd.OutOrStdout(), step) })
		},
	}
	cmd.Flags().StringVar(&patch, "patch", "", "the change, as a JSON merge patch")
	cmd.Flags().DurationVar(&timeout, "timeout", 4*time.Minute, "how long to wait for all nodes")
	return cmd
}
