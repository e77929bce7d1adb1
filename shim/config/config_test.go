// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// installed makes a root with programs.
func installed(t *testing.T, programs ...string) root {
	t.Helper()
	r := root(t.TempDir())
	for _, p := range programs {
		write(t, r.path(p), "#!", 0o755)
	}
	return r
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

func parseFor(t *testing.T, r root, text, configPath string) (Settings, error) {
	t.Helper()
	f, err := parse("/etc/kata-tes/config.toml", []byte(text))
	if err != nil {
		return Settings{}, err
	}
	f.system = r
	return f.For(configPath)
}

const (
	goShim   = "/opt/kata/bin/containerd-shim-kata-v2"
	rustShim = "/opt/kata/runtime-rs/bin/containerd-shim-kata-v2"
	qemu     = "/opt/kata/bin/qemu-system-x86_64"
	tdxQEMU  = "/opt/kata/bin/qemu-system-x86_64-tdx-experimental"
	goKata   = "/opt/kata/share/defaults/kata-containers/configuration-qemu-tdx.toml"
	rustKata = "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration-qemu-tdx.toml"
)

func TestAnInstallationByKataDeployNeedsNoFile(t *testing.T) {
	r := installed(t, goShim, rustShim, qemu, tdxQEMU, "/usr/bin/containerd-shim-kata-v2")
	write(t, r.path(goKata), "[hypervisor.qemu]\npath = \""+tdxQEMU+"\"\n[runtime]\nenable_debug = false\n", 0o644)
	for configPath, want := range map[string][2]string{
		goKata:            {goShim, tdxQEMU},
		rustKata:          {rustShim, qemu},
		"":                {goShim, qemu},
		"/no/such/c.toml": {goShim, qemu},
	} {
		s, err := parseFor(t, r, "", configPath)
		require.NoError(t, err)
		require.Equal(t, Settings{
			InnerShim: r.path(want[0]), Hypervisor: r.path(want[1]), DevicePath: "/dev/trusted_store", MinimumSize: 64 << 20, LateStore: LateWarn, LogLevel: "info",
			Timeouts: Timeouts{Find: 10 * time.Second, Attach: 10 * time.Second, Prepare: 45 * time.Second, Undo: 15 * time.Second, HungDisk: time.Minute},
		}, s, configPath)
	}
}

func TestThePlacesWithoutKataDeploy(t *testing.T) {
	r := installed(t, "/usr/bin/containerd-shim-kata-v2", "/usr/bin/qemu-system-x86_64")
	s, err := parseFor(t, r, "", rustKata)
	require.NoError(t, err)
	require.Equal(t, r.path("/usr/bin/containerd-shim-kata-v2"), s.InnerShim)
	require.Equal(t, r.path("/usr/bin/qemu-system-x86_64"), s.Hypervisor)
}

func TestOurOwnWrapperIsNoHypervisor(t *testing.T) {
	r := installed(t, goShim, qemu, "/usr/local/bin/kata-tes-qemu")
	write(t, r.path(goKata), "[hypervisor.qemu]\npath = \"/usr/local/bin/kata-tes-qemu\"\n", 0o644)
	s, err := parseFor(t, r, "", goKata)
	require.NoError(t, err)
	require.Equal(t, r.path(qemu), s.Hypervisor)
}

func TestAnInnerShimWithoutAHypervisor(t *testing.T) {
	r := installed(t, "/bin/containerd-shim-runc-v2")
	s, err := parseFor(t, r, "[defaults]\ninner_shim = \""+r.path("/bin/containerd-shim-runc-v2")+"\"\n", "")
	require.NoError(t, err)
	require.Empty(t, s.Hypervisor)
}

func TestSectionsOverrideEachOther(t *testing.T) {
	r := installed(t, goShim, qemu, "/a/shim", "/b/shim", "/b/qemu")
	text := `
[defaults]
inner_shim = "` + r.path("/a/shim") + `"
minimum_size = "1GiB"
log_level = "warn"
[defaults.timeouts]
find = "1s"
undo = "2s"

[[runtime]]
config_path = "/etc/kata/b.toml"
inner_shim = "` + r.path("/b/shim") + `"
hypervisor = "` + r.path("/b/qemu") + `"
device_path = "/dev/other"
minimum_size = 4096
late_store = "refuse"
[runtime.timeouts]
undo = "1m3s"
`
	s, err := parseFor(t, r, text, "/etc/kata//b.toml")
	require.NoError(t, err)
	require.Equal(t, Settings{
		InnerShim: r.path("/b/shim"), Hypervisor: r.path("/b/qemu"), DevicePath: "/dev/other", MinimumSize: 4096, LateStore: LateRefuse, LogLevel: "warn",
		Timeouts: Timeouts{Find: time.Second, Attach: 10 * time.Second, Prepare: 45 * time.Second, Undo: 63 * time.Second, HungDisk: time.Minute},
	}, s)
	s, err = parseFor(t, r, text, "/etc/kata/c.toml")
	require.NoError(t, err)
	require.Equal(t, r.path("/a/shim"), s.InnerShim)
	require.EqualValues(t, 1<<30, s.MinimumSize)
	require.Equal(t, "/dev/trusted_store", s.DevicePath)
	require.Equal(t, LateWarn, s.LateStore)

	s, err = parseFor(t, r, "[defaults]\nlate_store = \"refuse\"\n[[runtime]]\nconfig_path = \"/b.toml\"\nlate_store = \"warn\"\n", "/b.toml")
	require.NoError(t, err)
	require.Equal(t, LateWarn, s.LateStore, "back to what is built in")
}

func TestErrorsNamePlaceKeyAndRemedy(t *testing.T) {
	r := installed(t, goShim, qemu)
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":      {"[defaults]\n\ninnershim = \"/x\"\n", []string{"line 3", "defaults.innershim", "misspelling"}},
		"unknown table":    {"[default]\nlog_level = \"info\"\n", []string{"line 1", "default", "misspelling"}},
		"syntax":           {"[defaults]\nlog_level = \n", []string{"line 2"}},
		"type":             {"[defaults]\nlog_level = 7\n", []string{"line 2", "log_level"}},
		"level":            {"[defaults]\nlog_level = \"loud\"\n", []string{"[defaults]", "log_level", "loud", "use error"}},
		"late store":       {"[defaults]\nlate_store = \"ignore\"\n", []string{"[defaults]", "late_store", "ignore", "\"warn\" or \"refuse\""}},
		"late store there": {"[[runtime]]\nconfig_path = \"/k.toml\"\nlate_store = \"Warn\"\n", []string{"[[runtime]] number 1", "late_store", "Warn"}},
		"late store type":  {"[defaults]\nlate_store = true\n", []string{"line 2", "late_store"}},
		"duration":         {"[defaults.timeouts]\nfind = \"soon\"\n", []string{"line 2", "find", "soon", "10s"}},
		"no limit":         {"[defaults.timeouts]\nfind = \"0s\"\n", []string{"line 2", "find", "above zero"}},
		"size":             {"[defaults]\nminimum_size = \"big\"\n", []string{"line 2", "minimum_size", "big", "64MiB"}},
		"negative size":    {"[defaults]\nminimum_size = \"-1\"\n", []string{"minimum_size"}},
		"too large a size": {"[defaults]\nminimum_size = \"99999999999T\"\n", []string{"minimum_size"}},
		"relative shim":    {"[defaults]\ninner_shim = \"shim\"\n", []string{"[defaults]", "inner_shim", "whole path"}},
		"device":           {"[defaults]\ndevice_path = \"/tmp/x\"\n", []string{"device_path", "below /dev"}},
		"device up":        {"[defaults]\ndevice_path = \"/dev/../etc/x\"\n", []string{"device_path"}},
		"missing shim":     {"[defaults]\ninner_shim = \"/nowhere/shim\"\n", []string{"[defaults]", "inner_shim", "/nowhere/shim", "install it or correct the path"}},
		"missing qemu":     {"[[runtime]]\nconfig_path = \"/k.toml\"\nhypervisor = \"/nowhere/qemu\"\n", []string{"[[runtime]] number 1", "hypervisor", "/nowhere/qemu", "install it or correct the path"}},
		"folder as shim":   {"[defaults]\ninner_shim = \"/etc\"\n", []string{"inner_shim", "not an executable file"}},
		"no config path":   {"[[runtime]]\nlog_level = \"info\"\n", []string{"[[runtime]] number 1", "config_path", "ConfigPath"}},
		"twice":            {"[[runtime]]\nconfig_path = \"/k.toml\"\n[[runtime]]\nconfig_path = \"/./k.toml\"\n", []string{"[[runtime]] number 2", "merge"}},
		"path in defaults": {"[defaults]\nconfig_path = \"/k.toml\"\n", []string{"[defaults]", "config_path", "[[runtime]]"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseFor(t, r, test.text, "/k.toml")
			require.ErrorIs(t, err, ErrInvalid)
			require.ErrorContains(t, err, "/etc/kata-tes/config.toml")
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	_, err := parseFor(t, installed(t), "", "")
	require.ErrorContains(t, err, "install Kata Containers")
}

func TestABrokenSectionForAnotherRuntimeHarmsNobody(t *testing.T) {
	r := installed(t, goShim, qemu)
	text := "[[runtime]]\nconfig_path = \"/other.toml\"\ninner_shim = \"/nowhere/shim\"\n"
	_, err := parseFor(t, r, text, "/k.toml")
	require.NoError(t, err)
	_, err = parseFor(t, r, text, "/other.toml")
	require.ErrorIs(t, err, ErrInvalid)
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	_, err := Load(path)
	require.ErrorIs(t, err, fs.ErrNotExist, "named by the environment, so it must be there")
	require.ErrorContains(t, err, PathVariable)
	write(t, path, "[defaults]\nlog_level = \"debug\"\n", 0o600)
	_, err = Load(path)
	require.NoError(t, err)

	t.Setenv(PathVariable, "")
	require.Equal(t, DefaultPath, Path())
	t.Setenv(PathVariable, "/x")
	require.Equal(t, "/x", Path())
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "512": 512, "1k": 1000, "1Ki": 1024, "64MiB": 64 << 20, "64 MiB": 64 << 20, "2G": 2e9, "1TiB": 1 << 40, "7B": 7,
	} {
		var s size
		require.NoError(t, s.UnmarshalText([]byte(text)), text)
		require.EqualValues(t, want, s, text)
	}
	for _, text := range []string{"", "M", "1.5G", "1X", "1MM", "0x10", "-1", "99999999999999999999"} {
		var s size
		require.Error(t, s.UnmarshalText([]byte(text)), text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[defaults]\nminimum_size = \"1M\"\n[[runtime]]\nconfig_path = \"/k\"\n[runtime.timeouts]\nfind = \"1s\"\n")
	f.Add("[defaults]\nminimum_size = 5\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("/c.toml", []byte(text))
		if err != nil {
			return
		}
		s := builtin()
		for _, section := range c.choose("/k") {
			section.apply(&s)
		}
		if s.Timeouts.Find <= 0 || s.Timeouts.Attach <= 0 || s.Timeouts.Prepare <= 0 || s.Timeouts.Undo <= 0 || s.Timeouts.HungDisk <= 0 || s.DevicePath == "" || !levels[s.LogLevel] || (s.LateStore != LateWarn && s.LateStore != LateRefuse) {
			t.Fatalf("%+v", s)
		}
	})
}
