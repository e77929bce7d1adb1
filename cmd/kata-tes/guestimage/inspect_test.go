// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// kataFiles are a Kata configuration with a folder for drop-ins.
type kataFiles struct{ config, dropIn string }

func kataFolder(t *testing.T, section string) kataFiles {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "config.d"), 0o755))
	f := kataFiles{filepath.Join(folder, "configuration-qemu-tdx.toml"), filepath.Join(folder, "config.d", "60-image.toml")}
	require.NoError(t, os.WriteFile(f.config, []byte("[hypervisor.qemu]\npath = \"/opt/kata/bin/qemu\"\n"+section+"\n[runtime]\ninternetworking_model = \"tcfilter\"\n"), 0o644))
	return f
}

func inspected(t *testing.T, image, kataConfig string) (Report, map[string]Check) {
	t.Helper()
	folder := t.TempDir()
	report, err := Inspect(t.Context(), image, kataConfig, folder)
	require.NoError(t, err)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
	checks := map[string]Check{}
	for _, c := range report.Checks {
		checks[c.Name] = c
		require.Equal(t, c.State == OK, c.Remedy == "", "%v", c)
	}
	return report, checks
}

const kataCheck = "Kata's configuration"

// From Kata's own image to one with the agent extension, as an operator does it,
// with Kata 3.27 and later.
func TestKernelVerityParams(t *testing.T) {
	in := rootfsImage{root: guestRoot(t), hash: "plain", dax: true}.make(t)
	params := fmt.Sprintf("root_hash=%s,salt=%s,data_blocks=%d,data_block_size=4096,hash_block_size=4096", in.rootHash, in.salt, in.rootSize/4096)
	kata := kataFolder(t, fmt.Sprintf("image = %q\nkernel_verity_params = %q", in.path, params))

	report, checks := inspected(t, in.path, kata.config)
	require.False(t, report.Complete())
	require.Equal(t, in.rootHash, report.Measured.RootHash)
	require.Equal(t, params, report.Measured.KernelVerityParams)
	require.Equal(t, OK, checks[kataCheck].State)
	require.Equal(t, Missing, checks["kata-tes-agent"].State)
	// Without it nobody knows the salt.
	report, checks = inspected(t, in.path, "")
	require.Empty(t, report.Measured.RootHash)
	require.Equal(t, Unknown, checks["dm-verity"].State)

	request := Request{
		In: in.path, Out: filepath.Join(t.TempDir(), "out.img"), Agent: agentFile(t), KataConfig: kata.config, DropIn: kata.dropIn,
	}
	result, err := Install(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, kata.dropIn, result.DropIn)
	report, checks = inspected(t, result.Image, kata.config)
	require.True(t, report.Complete(), "%v", checks)
	require.Equal(t, result.Measured.RootHash, report.Measured.RootHash)
	require.NotEqual(t, in.rootHash, report.Measured.RootHash)
	// The old image is no longer the one that Kata names.
	_, checks = inspected(t, in.path, kata.config)
	require.Contains(t, checks[kataCheck].Found, "not this image")

	// The same once more changes nothing, though the drop-in is there.
	again, err := Install(t.Context(), request)
	require.NoError(t, err)
	require.False(t, again.Written)
	require.Equal(t, result.SHA256, again.SHA256)
}

// Kata before 3.27 has the root hash among the kernel's parameters.
func TestKernelParams(t *testing.T) {
	in := rootfsImage{root: guestRoot(t), hash: "superblock"}.make(t)
	kata := kataFolder(t, fmt.Sprintf("image = %q\nkernel_params = \"quiet rootfs_verity.scheme=dm-verity rootfs_verity.hash=%s\"", in.path, in.rootHash))
	report, checks := inspected(t, in.path, kata.config)
	require.Equal(t, in.rootHash, report.Measured.RootHash)
	require.Equal(t, OK, checks[kataCheck].State, "%v", checks)

	requireRefused(t, in.path, "--kata-config", func(r *Request) { r.DropIn = kata.dropIn })
	require.NoFileExists(t, kata.dropIn)

	result, err := install(t, in.path, func(r *Request) { r.DropIn, r.KataConfig = kata.dropIn, kata.config })
	require.NoError(t, err)
	text, err := os.ReadFile(kata.dropIn)
	require.NoError(t, err)
	require.Contains(t, string(text), "quiet rootfs_verity.scheme=dm-verity rootfs_verity.hash="+result.Measured.RootHash)
	report, checks = inspected(t, result.Image, kata.config)
	require.True(t, report.Complete(), "%v", checks)
}

// A drop-in that a later one takes back would leave Kata with the old image, or
// with the new one and the old root hash.
func TestDropInWithoutEffect(t *testing.T) {
	in := rootfsImage{root: guestRoot(t)}.make(t)
	kata := kataFolder(t, fmt.Sprintf("image = %q", in.path))
	later := filepath.Join(filepath.Dir(kata.dropIn), "70-image.toml")
	require.NoError(t, os.WriteFile(later, []byte("[hypervisor.qemu]\nimage = \"/other\"\n"), 0o600))
	// kata-deploy's configurations may be links to those of a handler.
	link := filepath.Join(t.TempDir(), "configuration.toml")
	require.NoError(t, os.Symlink(kata.config, link))
	requireRefused(t, in.path, "a later one sets the same", func(r *Request) { r.KataConfig, r.DropIn = link, kata.dropIn })
	require.NoFileExists(t, kata.dropIn)
	left, err := os.ReadDir(filepath.Dir(kata.config))
	require.NoError(t, err)
	require.Len(t, left, 2)
}

func TestDropInOfInitrd(t *testing.T) {
	in := makeInitrd(t, guestRoot(t), "gzip", false)
	kata := kataFolder(t, "image = \"/opt/kata/share/kata-containers/kata-containers.img\"")
	result, err := install(t, in, func(r *Request) { r.DropIn, r.KataConfig = kata.dropIn, kata.config })
	require.NoError(t, err)
	report, checks := inspected(t, result.Image, kata.config)
	require.True(t, report.Complete(), "%v", checks)
	require.Equal(t, "it names this image", checks[kataCheck].Found)
}

func TestConfigurationOfAnotherImage(t *testing.T) {
	measured := rootfsImage{root: guestRoot(t), hash: "plain"}.make(t)
	plain := rootfsImage{root: guestRoot(t), size: 12}.make(t)
	params := func(root string) string {
		return fmt.Sprintf("kernel_verity_params = \"root_hash=%s,salt=%s,data_blocks=%d,data_block_size=4096,hash_block_size=4096\"",
			root, measured.salt, measured.rootSize/4096)
	}
	other := "00" + measured.rootHash[2:]
	for name, c := range map[string]struct {
		image   made
		section string
		words   string
	}{
		"other root hash":     {measured, fmt.Sprintf("image = %q\n", measured.path) + params(other), "which is not that of the image"},
		"no root hash":        {measured, fmt.Sprintf("image = %q\n", measured.path), "has no root hash"},
		"hash without a tree": {plain, fmt.Sprintf("image = %q\n", plain.path) + params(other), "no hash tree"},
		"both":                {plain, fmt.Sprintf("image = %q\ninitrd = \"/x\"", plain.path), "both image and initrd"},
		"other image":         {plain, "image = \"/other\"", "names \"/other\""},
	} {
		t.Run(name, func(t *testing.T) {
			report, checks := inspected(t, c.image.path, kataFolder(t, c.section).config)
			require.False(t, report.Complete())
			require.Equal(t, Missing, checks[kataCheck].State)
			require.Contains(t, checks[kataCheck].Found, c.words)
		})
	}
	// An image that is not what Kata measures is not changed either.
	kata := kataFolder(t, fmt.Sprintf("image = %q\n", measured.path)+params(other))
	requireRefused(t, measured.path, "which is not that of the image", func(r *Request) { r.KataConfig = kata.config })
}

// What somebody has broken in an image with the agent extension.
func TestWhatIsBroken(t *testing.T) {
	in := rootfsImage{root: guestRoot(t)}.make(t)
	result, err := install(t, in.path, nil)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		commands, check, words string
	}{
		"agent is gone":       {"rm /usr/bin/kata-tes-agent", "kata-tes-agent", "there is no program"},
		"agent is another":    {"rm /usr/bin/kata-tes-agent\nsymlink /usr/bin/kata-tes-agent kata-agent", "kata-tes-agent", "not kata-tes-agent"},
		"agent does not run":  {"sif /usr/bin/kata-tes-agent mode 0100644", "kata-tes-agent", "there is no program"},
		"unit is gone":        {"rm /usr/lib/systemd/system/kata-tes-agent.service", "unit", "there is no"},
		"unit is masked":      {"symlink /etc/systemd/system/kata-tes-agent.service /dev/null", "unit", "masks"},
		"not enabled":         {"rm /etc/systemd/system/kata-containers.target.wants/kata-tes-agent.service", "enabled", "does not want"},
		"no configuration":    {"rm /etc/kata-tes/agent.toml", "agent.toml", "there is no"},
		"configuration broke": {"rm /etc/kata-tes/agent.toml\nsymlink /etc/kata-tes/agent.toml /usr/lib/systemd/systemd", "agent.toml", "not valid"},
		"cryptsetup is gone":  {"rm /usr/sbin/cryptsetup", "cryptsetup", "there is no program"},
	} {
		t.Run(name, func(t *testing.T) {
			root := part(t, result.Image, in.rootStart, in.rootSize)
			script := filepath.Join(t.TempDir(), "commands")
			require.NoError(t, os.WriteFile(script, []byte(c.commands+"\n"), 0o600))
			run(t, nil, "debugfs", "-w", "-f", script, root)
			// The table of the image, and what became of the root.
			broken := part(t, result.Image, 0, in.rootStart)
			require.NoError(t, os.Truncate(broken, result.Size))
			overlay(t, broken, root, in.rootStart)

			report, checks := inspected(t, broken, "")
			require.False(t, report.Complete())
			require.Equal(t, Missing, checks[c.check].State)
			require.Contains(t, checks[c.check].Found, c.words)
		})
	}
}
