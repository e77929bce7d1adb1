// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/install"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
	"github.com/spf13/cobra"
)

// installFlags are those of install and uninstall.
type installFlags struct {
	options        install.Options
	restart        bool
	restartCommand string
	format         output.Format
}

func newInstall() *cobra.Command {
	f := &installFlags{format: output.Table}
	cmd := &cobra.Command{
		Use:   "install --runtime HANDLER",
		Short: "Put the runtime in front of Kata's on this node",
		Long: `Puts the shim and the QEMU wrapper on this node and lets containerd and Kata
Containers start them for the chosen runtime handlers. What else a handler has
(snapshotter, annotations, Kata configuration) stays, and other handlers stay as
they are. The merged configuration is checked before anything is put in place.

A second call changes nothing. With other handlers, or from a newer version, only
the difference is carried out. 'kata-tes uninstall' puts back what was there.`,
		Example: `  # What would change?
  kata-tes install --runtime kata-qemu-tdx --dry-run

  # Two handlers, and containerd reads its configuration at once
  kata-tes install --runtime kata-qemu-tdx --runtime kata-qemu-snp --restart

  # In a DaemonSet, with the node mounted at /host
  kata-tes install --root /host --from /opt/kata-tes/bin --runtime kata-qemu-tdx --restart`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(cmd); err != nil {
				return err
			}
			result, err := install.Install(cmd.Context(), f.options)
			if err != nil {
				return hint(err)
			}
			return f.print(cmd, result, "The runtime is installed as asked for")
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.options.Handlers, "runtime", nil, "runtime handler to put the runtime in front of; repeatable (default: those that are installed)")
	flags.StringVar(&f.options.From, "from", "", "folder with our programs, on this machine (default: where kata-tes is)")
	flags.StringVar(&f.options.BinDir, "bin-dir", "", "folder for our programs, on the node (default "+install.DefaultBinDir+", or where a package has put them)")
	flags.StringVar(&f.options.ContainerdConfig, "containerd-config", "", "containerd's main configuration file, on the node (default: where it usually is)")
	completeBy(cmd, "runtime", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return install.Available(f.options), cobra.ShellCompDirectiveNoFileComp
	})
	completeBy(cmd, "from", folders)
	return cmd
}

// completeBy offers what a function finds when the shell asks.
func completeBy(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err) // there is no such flag: a slip in this file
	}
}

// folders offers folders.
func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// hint says what to do about what the system refuses.
func hint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run the command as root", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; where the system is read-only, name a folder that is not with --bin-dir", err)
	}
	return err
}

func newUninstall() *cobra.Command {
	f := &installFlags{format: output.Table}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Put back what this node had before",
		Long: `Puts back, byte for byte, what 'kata-tes install' has changed, and removes what it
has made. Refuses while pods run on it, and where a file has been changed by
somebody else since.`,
		Example: `  kata-tes uninstall --dry-run
  kata-tes uninstall --restart`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(cmd); err != nil {
				return err
			}
			result, err := install.Uninstall(cmd.Context(), f.options)
			if err != nil {
				return hint(err)
			}
			return f.print(cmd, result, "Nothing is installed")
		},
	}
	f.register(cmd)
	return cmd
}

func (f *installFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.options.Root, "root", "/", "folder that stands for the node's /")
	flags.BoolVar(&f.options.DryRun, "dry-run", false, "show the difference and change nothing")
	flags.BoolVar(&f.options.Force, "force", false, "go over what somebody else has changed since, and over running pods")
	flags.BoolVar(&f.restart, "restart", false, "restart containerd if it has to read its configuration again")
	flags.StringVar(&f.restartCommand, "restart-command", "", "command line for --restart (default: systemctl of the node)")
	flags.VarP(&f.format, "output", "o", "output format")
	completeBy(cmd, "root", folders)
	complete(cmd, "output", []string{string(output.Table), string(output.JSON)})
}

// complete checks flags against each other and fills in what is not given.
func (f *installFlags) complete(cmd *cobra.Command) error {
	f.options.Version = cmd.Root().Version
	if f.options.From == "" {
		from, err := install.FromHere()
		if err != nil {
			return err
		}
		f.options.From = from
	}
	if f.options.BinDir == "" {
		f.options.BinDir = install.BinDirFor(f.options.Root, f.options.From)
	}
	command := strings.Fields(f.restartCommand)
	switch {
	case cmd.Flags().Changed("restart-command") && len(command) == 0:
		return usagef("--restart-command is empty")
	case len(command) > 0 && !f.restart:
		return usagef("--restart-command is of no use without --restart")
	case len(command) > 0:
		f.options.Restart = install.Command(command)
	case f.restart:
		f.options.Restart = install.Systemd{}
	}
	return nil
}

// print shows what was done. nothing is what to say when there was nothing to do.
func (f *installFlags) print(cmd *cobra.Command, result *install.Result, nothing string) error {
	out := cmd.OutOrStdout()
	for _, warning := range result.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "Note:", warning)
	}
	if f.format == output.JSON {
		return f.format.Print(out, result, nil, nil)
	}
	if len(result.Files) == 0 {
		fmt.Fprintln(out, nothing+"; no file has to change.")
	} else if err := f.printFiles(out, result); err != nil {
		return err
	}
	switch {
	case result.Restart == install.Restarted:
		fmt.Fprintln(out, "containerd has been restarted.")
	case result.Restart == install.Needed && result.DryRun:
		fmt.Fprintln(out, "containerd would have to be restarted (--restart).")
	case result.Restart == install.Needed:
		fmt.Fprintln(out, "containerd has to be restarted before this counts: use --restart, or 'systemctl restart containerd'.")
	}
	return nil
}

func (f *installFlags) printFiles(out io.Writer, result *install.Result) error {
	if result.DryRun {
		for _, file := range result.Files {
			fmt.Fprint(out, file.Diff)
		}
		return nil
	}
	done := map[journal.Action]string{journal.Create: "created", journal.Replace: "changed", journal.Remove: "removed"}
	var rows []output.Row
	for _, file := range result.Files {
		rows = append(rows, output.Row{file.Path, done[file.Action]})
	}
	if err := f.format.Print(out, nil, output.Row{"FILE", "DONE"}, rows); err != nil || len(result.Handlers) == 0 {
		return err
	}
	rows = nil
	for _, h := range result.Handlers {
		rows = append(rows, output.Row{h.Name, h.Shim, h.QEMU, h.ConfigPath})
	}
	fmt.Fprintln(out)
	return f.format.Print(out, nil, output.Row{"HANDLER", "KATA'S SHIM", "QEMU", "KATA CONFIGURATION"}, rows)
}
