// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/shim/report"
)

func TestAllWell(t *testing.T) {
	findings := newFake(t).examine()
	for _, f := range findings {
		require.Equal(t, OK, f.Outcome, "%+v", f)
		require.NotEmpty(t, f.Detail, "%+v", f)
		require.Empty(t, f.Remedy, "%+v", f)
	}
	require.True(t, findings.AllWell())
	require.Len(t, findings, 32)
}

// Each disease is found by the check for it, with what to do.
func TestDiseases(t *testing.T) {
	for name, d := range diseases {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			d.make(f)
			var said []string
			for _, finding := range f.examine() {
				said = append(said, fmt.Sprintf("%+v", finding))
				if finding.Check == d.check && finding.Outcome == d.outcome && strings.Contains(finding.Detail, d.words) {
					require.Contains(t, finding.Remedy, d.remedy)
					return
				}
			}
			require.Fail(t, "it was not found", strings.Join(said, "\n"))
		})
	}
}

// A check that nothing can make fail would be none.
func TestEachCheckCanFail(t *testing.T) {
	failing := map[string]bool{}
	for _, d := range diseases {
		failing[d.check] = true
	}
	for _, f := range newFake(t).examine() {
		require.True(t, failing[f.Check], "no disease for the check of %s", f.Check)
	}
}

// What must not be taken for a disease.
func TestWell(t *testing.T) {
	for name, change := range map[string]func(f *fake){
		"nothing ran yet":          func(f *fake) { f.told = nil; f.remove("/run/kata-tes") },
		"no kubelet":               func(f *fake) { f.remove("/var/lib/kubelet/config.yaml") },
		"kubelet with its default": func(f *fake) { f.edit("/var/lib/kubelet/config.yaml", "10m0s", "0s") },
		"a configuration of ours":  func(f *fake) { f.write(ourConfig, "[defaults]\nhypervisor = \""+qemu+"\"\n") },
		"SEV-SNP": func(f *fake) {
			f.remove("/sys/module/kvm_intel")
			f.write("/sys/module/kvm_amd/parameters/sev_snp", "1\n")
		},
		"not confidential": func(f *fake) {
			f.edit(kataConfig, "confidential_guest = true", "")
			f.remove("/sys/module/kvm_intel")
		},
		"nydus": func(f *fake) {
			f.edit(kataConfig, "experimental_force_guest_pull = true", "")
			f.edit(containerdConfig, "  pod_annot", "  snapshotter = \"nydus\"\n  pod_annot")
		},
		"Kata before 3.0": func(f *fake) {
			f.says[innerShim] = "Kata Containers containerd shim: id: \"io\", version: 2.5.0, commit: x\n"
		},
		"virtio-blk":            func(f *fake) { f.edit(kataConfig, "virtio-scsi", "virtio-blk") },
		"driver by default":     func(f *fake) { f.edit(kataConfig, `block_device_driver = "virtio-scsi"`, "") },
		"a store is being made": func(f *fake) { f.told.Store = report.Store{State: "preparing"}; f.machineFails(errors.New("busy")) },
		"no store":              func(f *fake) { f.told.Store = report.Store{State: "none"} },
		"a drop-in of others": func(f *fake) {
			f.write("/opt/kata/share/defaults/kata-containers/config.d/10-kernel.toml", "[hypervisor.qemu]\nkernel_params = \"x\"\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			change(f)
			for _, finding := range f.examine() {
				require.Equal(t, OK, finding.Outcome, "%+v", finding)
			}
		})
	}
}

// Before the installation, the checks of a handler that is chosen say what is
// missing; a handler that is not there is told at once.
func TestBeforeTheInstallation(t *testing.T) {
	f := newFake(t)
	f.told, f.runtimes = nil, []string{runtime}
	f.edit(containerdConfig, "kata-tes.v2", "kata.v2")
	for _, name := range []string{ourShim, wrapper, dropIn, "/run/kata-tes"} {
		f.remove(name)
	}
	var wrong []string
	for _, finding := range f.examine() {
		if finding.Outcome != OK {
			wrong = append(wrong, string(finding.Outcome)+" "+finding.Check)
			require.NotEmpty(t, finding.Remedy, "%+v", finding)
		}
	}
	require.Equal(t, []string{
		"wrong runtime", "wrong shim", "unknown shim's version", "wrong hypervisor", "unknown monitor wrapper",
	}, wrong)

	f = newFake(t)
	f.runtimes = []string{"kata-qemu-snp", runtime}
	findings := f.examine()
	require.False(t, findings.AllWell())
	for _, finding := range findings {
		if finding.Outcome != OK {
			require.Equal(t, "handler", finding.Check)
			require.Contains(t, finding.Detail, "no handler kata-qemu-snp")
		}
	}
}

// A folder with nothing in it is a node without anything.
func TestAnEmptyNode(t *testing.T) {
	findings, err := Examine(t.Context(), Options{Root: t.TempDir(), Version: version})
	require.NoError(t, err)
	require.False(t, findings.AllWell())
	_, err = Examine(t.Context(), Options{Root: "/no/such/folder"})
	require.Error(t, err)
}

// A check that hangs is unknown after its limit, and one that ends with its
// limit says what it knows.
func TestChecksThatHang(t *testing.T) {
	let := make(chan struct{})
	defer close(let)
	began := time.Now()
	const limit = 500 * time.Millisecond
	findings := runAll(t.Context(), []check{
		{"x", "hangs", func(context.Context) (string, error) { <-let; return "", nil }, "", limit},
		{"x", "notices", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", errors.New("too slow") }, "be quick", limit},
		{"x", "well", func(context.Context) (string, error) { return "fine", nil }, "", limit},
	})
	require.Less(t, time.Since(began), patience)
	require.Equal(t, Findings{
		{"x", "hangs", Unknown, "the check did not end: context deadline exceeded", ""},
		{"x", "notices", Wrong, "too slow", "be quick"},
		{"x", "well", OK, "fine", ""},
	}, findings)
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string][2]int{"v1.7.27": {1, 7}, "9.1.2": {9, 1}, "2.0.0-rc.1": {2, 0}, "10.0~rc1": {10, 0}, "7.2": {7, 2}, "v2.1-dev": {2, 1}} {
		major, minor, ok := parseVersion(text)
		require.True(t, ok, text)
		require.Equal(t, want, [2]int{major, minor}, text)
	}
	for _, text := range []string{"", "7", "x.y", "v1.x"} {
		_, _, ok := parseVersion(text)
		require.False(t, ok, text)
	}
}
