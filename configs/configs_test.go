// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package configs_test holds what a user installs against the code that reads
// it and against the proposal that it comes from.
package configs_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	agentconfig "github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"
)

func TestPodIsTheProposals(t *testing.T) {
	proposal, err := os.ReadFile("../docs/trusted-ephemeral-storage.md")
	require.NoError(t, err)
	pod, err := os.ReadFile("kubernetes/trusted_store_cc.yaml")
	require.NoError(t, err)

	_, rest, found := strings.Cut(string(proposal), "```yaml\n")
	require.True(t, found, "the proposal has a yaml block")
	want, _, found := strings.Cut(rest, "```")
	require.True(t, found, "the yaml block ends")
	require.Equal(t, want, string(pod))
}

// TestNativeSidecarIsTheProposalsPod: the same pod, apart from where the sidecar
// stands.
func TestNativeSidecarIsTheProposalsPod(t *testing.T) {
	proposals, err := os.ReadFile("kubernetes/trusted_store_cc.yaml")
	require.NoError(t, err)
	native, err := os.ReadFile("kubernetes/trusted_store_native_sidecar.yaml")
	require.NoError(t, err)

	const sidecar, application = "   - name: sidecar-trusted-store\n     image: pause\n", "   - name: application\n"
	want := strings.NewReplacer(
		"  containers:\n"+sidecar, "  initContainers:\n"+sidecar+"     restartPolicy: Always\n",
		application, "  containers:\n"+application,
	).Replace(string(proposals))
	at := strings.Index(string(native), "apiVersion:")
	require.GreaterOrEqual(t, at, 0)
	require.Equal(t, want, string(native)[at:])
}

func TestContainerdDropIns(t *testing.T) {
	for _, c := range []struct {
		file    string
		version int64
		plugin  string
	}{
		{"containerd/kata-tes-containerd-1.toml", 2, "io.containerd.grpc.v1.cri"},
		{"containerd/kata-tes-containerd-2.toml", 3, "io.containerd.cri.v1.runtime"},
	} {
		t.Run(c.file, func(t *testing.T) {
			var config struct {
				Version int64
				Plugins map[string]struct {
					Containerd struct {
						Runtimes map[string]struct {
							RuntimeType                  string   `toml:"runtime_type"`
							PrivilegedWithoutHostDevices bool     `toml:"privileged_without_host_devices"`
							PodAnnotations               []string `toml:"pod_annotations"`
							Options                      struct{ ConfigPath string }
						}
					}
				}
			}
			read(t, c.file, &config)
			require.Equal(t, c.version, config.Version)
			handler, ok := config.Plugins[c.plugin].Containerd.Runtimes["kata-qemu-tdx"]
			require.True(t, ok, "handler kata-qemu-tdx under plugin %s", c.plugin)
			require.Equal(t, "io.containerd.kata-tes.v2", handler.RuntimeType)
			require.True(t, handler.PrivilegedWithoutHostDevices)
			require.Equal(t, []string{"io.katacontainers.*"}, handler.PodAnnotations)
			require.NotEmpty(t, handler.Options.ConfigPath)
		})
	}
}

func TestKataDropIn(t *testing.T) {
	var config struct {
		Hypervisor struct {
			QEMU struct {
				Path  string
				Valid []string `toml:"valid_hypervisor_paths"`
			} `toml:"qemu"`
		}
	}
	read(t, "kata/50-kata-tes.toml", &config)
	require.Equal(t, "/usr/local/bin/kata-tes-qemu", config.Hypervisor.QEMU.Path)
	require.Contains(t, config.Hypervisor.QEMU.Valid, config.Hypervisor.QEMU.Path)
}

// The documented files say what holds without them.

func TestGuestConfigurationHasTheDefaults(t *testing.T) {
	c, err := agentconfig.Load("guest/agent.toml")
	require.NoError(t, err)
	require.Equal(t, agentconfig.Default(), c)
}

func TestHostConfigurationHasTheDefaults(t *testing.T) {
	// Programs are looked for on this machine, where they need not be.
	program := t.TempDir() + "/shim"
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	text, err := os.ReadFile("kata-tes/config.toml")
	require.NoError(t, err)
	named := strings.NewReplacer(
		"# inner_shim = \"/opt/kata/bin/containerd-shim-kata-v2\"", "inner_shim = \""+program+"\"",
		"# hypervisor = \"/opt/kata/bin/qemu-system-x86_64\"", "hypervisor = \""+program+"\"",
	).Replace(string(text))

	documented := settings(t, named)
	builtIn := settings(t, "[defaults]\ninner_shim = \""+program+"\"\nhypervisor = \""+program+"\"\n")
	require.Equal(t, builtIn, documented)
	require.Equal(t, program, documented.InnerShim)
}

func settings(t *testing.T, text string) config.Settings {
	t.Helper()
	path := t.TempDir() + "/config.toml"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	f, err := config.Load(path)
	require.NoError(t, err)
	s, err := f.For("")
	require.NoError(t, err)
	return s
}

// read decodes a TOML file and fails on keys that the target does not know.
func read(t *testing.T, path string, into any) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	require.NoError(t, toml.NewDecoder(f).DisallowUnknownFields().Decode(into))
}

// exposure is what systemd-analyze says of the guest's unit, in tenths of its
// figure: 0 is perfect, 100 is a service that may do everything. Of what is left,
// most needs a mount namespace, which the unit must not have.
const exposure = 43

func TestUnitIsNoMoreExposedThanTheDocsSay(t *testing.T) {
	const unit = "guest/kata-tes-agent.service"
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze (Debian package systemd)")
	}
	security := func(threshold int) ([]byte, error) {
		return exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(threshold), unit).CombinedOutput()
	}
	output, err := security(exposure)
	require.NoError(t, err, "%s", output)
	_, err = security(exposure - 1)
	require.Error(t, err, "it has become better: write the new figure here and into docs/hardening.md")
	page, err := os.ReadFile("../docs/hardening.md")
	require.NoError(t, err)
	require.Contains(t, string(page), fmt.Sprintf("%d.%d", exposure/10, exposure%10))
}
