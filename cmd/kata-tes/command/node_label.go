// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"os"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/cluster"
	"github.com/spf13/cobra"
)

// nodeName is where the Helm chart's pods say which node they are on.
const nodeName = "NODE_NAME"

// newWait is the Helm chart's container that keeps the pod there once its node
// is set up, hence hidden.
func newWait() *cobra.Command {
	var label string
	cmd := &cobra.Command{
		Use:    "wait",
		Short:  "In a pod: do nothing until told to end",
		Hidden: true,
		Long: `Waits for SIGTERM or SIGINT, and ends without doing anything: a pod that ends
leaves its node as it is. With --label, the node gets that label first.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if label != "" {
				yes := "true"
				if err := setNodeLabel(cmd.Context(), label, &yes); err != nil {
					return err
				}
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	cmd.Flags().StringVar(&label, "label", "", `label that the node gets, with the value "true"`)
	return cmd
}

// newUnlabel takes back what wait --label did, before the node is taken out.
func newUnlabel() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "unlabel LABEL [COMMAND...]",
		Short:  "In a pod: take a label away from the pod's node, then carry out another command",
		Hidden: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%q takes the name of a label and a command of kata-tes, got nothing", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := setNodeLabel(cmd.Context(), args[0], nil); err != nil || len(args) == 1 {
				return err
			}
			root := cmd.Root()
			root.SetArgs(args[1:])
			return root.ExecuteContext(cmd.Context())
		},
	}
	// What comes after the label is the other command's.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// setNodeLabel is a variable for tests, which run in no pod.
var setNodeLabel = func(ctx context.Context, key string, value *string) error {
	node := os.Getenv(nodeName)
	if node == "" {
		return usagef("%s is not set: it names the node to label", nodeName)
	}
	client, err := cluster.InCluster()
	if err != nil {
		return err
	}
	return client.SetLabel(ctx, node, key, value)
}
