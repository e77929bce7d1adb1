// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
	"github.com/spf13/cobra"
)

// guestImage are the flags of the command.
type guestImage struct {
	guestimage.Request
	inPlace bool
	salt    string
	verify  string
	format  output.Format
}

func newGuestImage() *cobra.Command {
	g := &guestImage{format: output.Table}
	cmd := &cobra.Command{
		Use:   "guest-image (--in IMAGE --out IMAGE | --in IMAGE --in-place | --verify IMAGE)",
		Short: "Put the agent extension into a Kata guest image, or say what is in one",
		Long: `Put the agent extension (kata-tes-agent), its systemd unit and agent.toml into a
Kata guest image, and enable it there: a rootfs image (ext4, with or without
dm-verity) or an initrd (plain, gzip, zstd or xz).

Nothing is mounted, and root is not needed. The input is not changed: the new
image gets its name when it is whole and was looked at. The same input gives the
same bytes, so that a measured image can be made again. A rootfs image needs
debugfs, e2fsck and resize2fs (package e2fsprogs) on this machine, and room for
the image twice beside the output.

Where the image has a dm-verity hash tree a new one is made, and the root hash is
printed with what Kata's configuration needs; --drop-in writes that down. A guest
with another root hash, or another initrd, is measured differently: tell whoever
attests it.

--verify says what is in an image and what is missing; the exit status is 1 when
something is.`,
		Example: `  # a new image beside Kata's, and Kata told of it
  kata-tes guest-image --in /opt/kata/share/kata-containers/kata-containers-confidential.img \
    --out /opt/kata/share/kata-containers/kata-containers-tes.img \
    --kata-config /opt/kata/share/defaults/kata-containers/configuration-qemu-tdx.toml \
    --drop-in /opt/kata/share/defaults/kata-containers/config.d/60-kata-tes-image.toml

  # stores whose blocks can't be changed unnoticed
  kata-tes guest-image --in kata.img --out kata-tes.img --profile integrity

  # what is in it?
  kata-tes guest-image --verify kata-tes.img -o json`,
		Args: noArguments,
		RunE: g.run,
	}
	g.flags(cmd)
	return cmd
}

func (g *guestImage) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&g.In, "in", "", "the guest image to read")
	flags.StringVar(&g.Out, "out", "", "the guest image to make")
	flags.BoolVar(&g.inPlace, "in-place", false, "replace the image that is read")
	flags.BoolVar(&g.Force, "force", false, "replace another image that is at --out already")
	flags.StringVar(&g.Agent, "agent", "", "the agent extension's `program` (default: kata-tes-agent beside this program)")
	flags.StringVar(&g.Profile, "profile", "", "what stores become: confidentiality or integrity "+
		"(default: what the image's agent.toml has, or else confidentiality)")
	flags.StringVar(&g.Configuration, "config", "", "an agent.toml of your own")
	flags.StringVar(&g.KataConfig, "kata-config", "", "Kata's configuration `file`, with the drop-ins of config.d beside it: "+
		"its root hash must be the image's; --drop-in keeps its kernel_params")
	flags.StringVar(&g.DropIn, "drop-in", "", "write a Kata drop-in that names the new image and its root hash to this `file`")
	flags.StringVar(&g.salt, "salt", "", "salt of the hash tree, in hexadecimal (default: the image's own, or one that follows from it)")
	flags.StringVar(&g.verify, "verify", "", "say what is in this `image`, and change nothing")
	flags.VarP(&g.format, "output", "o", "table or json")
	complete(cmd, "profile", profileNames())
	complete(cmd, "output", []string{string(output.Table), string(output.JSON)})
}

func profileNames() []string {
	var names []string
	for _, p := range profile.All() {
		names = append(names, p.Name)
	}
	return names
}

// complete offers words for a flag in the shell.
func complete(cmd *cobra.Command, flag string, words []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag: a slip in this file
	}
}

func (g *guestImage) run(cmd *cobra.Command, _ []string) error {
	if err := g.check(cmd); err != nil {
		return err
	}
	if g.verify != "" {
		return g.printReport(cmd)
	}
	if g.Agent == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("where this program is: %w (name the agent extension's with --agent)", err)
		}
		g.Agent = filepath.Join(filepath.Dir(self), "kata-tes-agent")
	}
	result, err := guestimage.Install(cmd.Context(), g.Request)
	if err != nil {
		return err
	}
	return g.format.Print(cmd.OutOrStdout(), result, output.Row{"ITEM", "VALUE"}, resultRows(result))
}

// check is for what flags may not be together.
func (g *guestImage) check(cmd *cobra.Command) error {
	if g.verify != "" {
		for _, flag := range []string{"in", "out", "in-place", "force", "agent", "profile", "config", "drop-in", "salt"} {
			if cmd.Flags().Changed(flag) {
				return usagef("--verify changes nothing: leave --%s out", flag)
			}
		}
		return nil
	}
	switch {
	case g.In == "":
		return usagef("name the guest image to read with --in, or one to look at with --verify")
	case g.Out == "" && !g.inPlace:
		return usagef("name the guest image to make with --out, or say --in-place")
	case g.Out != "" && g.inPlace:
		return usagef("--out and --in-place exclude each other")
	case g.Profile != "" && g.Configuration != "":
		return usagef("--profile and --config exclude each other")
	}
	if g.Profile != "" {
		var p profile.Profile
		if err := p.UnmarshalText([]byte(g.Profile)); err != nil {
			return usageError{err}
		}
	}
	var err error
	if g.Salt, err = hex.DecodeString(g.salt); err != nil || len(g.Salt) > 256 {
		return usagef("--salt must be hexadecimal, of 256 bytes at most")
	}
	if g.inPlace {
		g.Out = g.In
	}
	return nil
}

func (g *guestImage) printReport(cmd *cobra.Command) error {
	report, err := guestimage.Inspect(cmd.Context(), g.verify, g.KataConfig, os.TempDir())
	if err != nil {
		return err
	}
	var rows []output.Row
	for _, c := range report.Checks {
		rows = append(rows, output.Row{c.Name, string(c.State), c.Found, c.Remedy})
	}
	if err := g.format.Print(cmd.OutOrStdout(), report, output.Row{"CHECK", "STATE", "FOUND", "WHAT TO DO"}, rows); err != nil {
		return err
	}
	if !report.Complete() {
		return errFound
	}
	return nil
}

func resultRows(r guestimage.Result) []output.Row {
	change := "nothing: the image has it already"
	if r.Changed {
		change = strings.Join(r.Put, ", ")
		if change == "" {
			change = "the hash tree"
		}
	}
	image := r.Image
	if !r.Written {
		image += " (it was there already)"
	}
	rows := []output.Row{{"image", image}, {"kind", string(r.Kind)}, {"sha256", r.SHA256}, {"changed", change}}
	if r.Agent != nil {
		rows = append(rows, output.Row{"agent", r.Agent.Version + " for " + r.Agent.Architecture})
	}
	for _, c := range r.Checks {
		if c.Name == "agent.toml" {
			rows = append(rows, output.Row{"agent.toml", c.Found})
		}
	}
	if m := r.Measured; m != nil {
		rows = append(rows, output.Row{"root hash", m.RootHash})
		if m.KernelParams != "" {
			rows = append(rows, output.Row{"kernel_params", m.KernelParams})
		} else {
			rows = append(rows, output.Row{"kernel_verity_params", m.KernelVerityParams})
		}
	}
	if r.DropIn != "" {
		rows = append(rows, output.Row{"drop-in", r.DropIn})
	}
	return rows
}
