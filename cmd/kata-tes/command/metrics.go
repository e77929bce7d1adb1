// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

func newMetrics() *cobra.Command {
	var (
		// none is the file as it is.
		format output.Format
		root   string
	)
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Print what the shims of this node have counted and measured since it booted",
		Long: `Prints the node's metrics in Prometheus' text format, as node_exporter reads them,
or a summary of them as a table or as JSON. Fails where nobody has counted yet,
or where the file is damaged.`,
		Example: `  kata-tes metrics -o table
  kata-tes metrics | promtool check metrics`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printMetrics(cmd.OutOrStdout(), filepath.Join(root, rundir.Root), format)
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "a summary instead of the file")
	cmd.Flags().StringVar(&root, "root", "/", "the node's root folder, where it is mounted in a container")
	return cmd
}

// printMetrics takes the folder that the metrics are below.
func printMetrics(w io.Writer, root string, format output.Format) error {
	text, err := metrics.Read(root)
	if errors.Is(err, metrics.ErrNone) {
		return fmt.Errorf("%w; %s begins with the first pod that runs behind kata-tes", err, rundir.MetricsPath(root))
	}
	if err != nil {
		return err
	}
	if format == "" {
		_, err := io.WriteString(w, text)
		return err
	}
	values, err := metrics.Values(text)
	if err != nil {
		return err
	}
	rows := make([]output.Row, 0, len(values))
	for _, v := range values {
		// Of the many reasons and steps those that there were.
		if v.Count == 0 && v.Label != "" {
			continue
		}
		rows = append(rows, output.Row{v.Metric, v.Label, strconv.FormatFloat(v.Count, 'f', -1, 64), mean(v)})
	}
	return format.Print(w, values, output.Row{"METRIC", "LABEL", "COUNT", "MEAN"}, rows)
}

// mean is what a histogram's events took on average.
func mean(v metrics.Value) string {
	if v.Seconds == nil || v.Count == 0 {
		return ""
	}
	return strconv.FormatFloat(*v.Seconds/v.Count, 'f', 3, 64) + "s"
}
