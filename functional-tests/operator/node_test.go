// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package operator

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// tool is where somebody has unpacked a release.
	tool = "/opt/tes/bin/kata-tes"
	// mainConfig is where containerd's configuration usually is.
	mainConfig = "/etc/containerd/config.toml"
	// kataFolder is where kata-deploy puts the configuration of one runtime.
	kataFolder = "/opt/kata/share/defaults/kata-containers/runtimes/qemu-tdx"
	kataConfig = kataFolder + "/configuration-qemu-tdx.toml"
)

// section is what kata-deploy writes for a handler, without the snapshotter: the
// node has none but containerd's own.
const section = `
[plugins.%[1]q.containerd.runtimes.%[2]s]
%[3]s
privileged_without_host_devices = true
pod_annotations = ["io.katacontainers.*"]
container_annotations = ["io.kubernetes.container.terminationMessage*"]

[plugins.%[1]q.containerd.runtimes.%[2]s.options]
ConfigPath = %[4]q
`

// How a handler names Kata's shim. containerd 1.6 does not know runtime_path, and
// looks for the type's name in its PATH.
const (
	byPath = `runtime_type = "io.containerd.kata-qemu-tdx.v2"
runtime_path = "/opt/kata/bin/containerd-shim-kata-v2"`
	byName = `runtime_type = "io.containerd.kata.v2"`
)

// layOut makes the node one that kata-deploy has been on, and nothing of ours.
func layOut(t *testing.T, v lab.Version) {
	t.Helper()
	for _, ours := range []string{"containerd-shim-kata-tes-v2", "kata-tes-qemu", "kata-tes"} {
		removed(t, filepath.Join("/usr/local/bin", ours))
	}
	removed(t, "/etc/kata-tes")
	// The counters of the pods before.
	removed(t, rundir.Root)
	stock, err := os.ReadFile(filepath.Join("/opt/tes/kata-containers/stock", filepath.Base(kataConfig)))
	require.NoError(t, err)
	removed(t, lab.KataConfigs)
	put(t, kataConfig, stock)
	put(t, kataFolder+"/config.d/30-kernel-params.toml", []byte("[hypervisor.qemu]\nkernel_params = \"\"\n"))

	if v.Name == lab.Containerd2.Name {
		require.NoError(t, v.WriteStockConfig(mainConfig, "/etc/containerd/conf.d/*.toml"))
		put(t, "/etc/containerd/conf.d/kata-deploy.toml", fmt.Appendf(nil, section, "io.containerd.cri.v1.runtime", lab.Tes, byPath, kataConfig))
		return
	}
	require.NoError(t, v.WriteStockConfig(mainConfig, ""))
	f, err := os.OpenFile(mainConfig, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = fmt.Fprintf(f, section, "io.containerd.grpc.v1.cri", lab.Tes, byName, kataConfig)
	require.NoError(t, errors.Join(err, f.Close()))
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, content, 0o644))
}

func removed(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(path))
}

// places are where the tool may change something.
var places = []string{"/etc", "/opt/kata", "/usr/local", "/var/lib/kata-tes"}

// tree is what is there, byte for byte: what each path is, whose, with which mode.
func tree(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, place := range places {
		require.NoError(t, filepath.WalkDir(place, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == place {
				return nil
			}
			if err != nil {
				return err
			}
			found[path], err = describe(path, entry)
			return err
		}))
	}
	return found
}

func describe(path string, entry fs.DirEntry) (string, error) {
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s %d:%d", info.Mode(), st.Uid, st.Gid)
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		return fmt.Sprintf("%s %x", text, sha256.Sum256(content)), err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return text + " " + target, err
	}
	return text, nil
}

// result is how a call of the tool ended.
type result struct {
	out, err string
	status   int
}

// call runs the tool.
func call(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	t.Logf("kata-tes %v: exit status %d\n%s%s", args, cmd.ProcessState.ExitCode(), out.String(), errs.String())
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must runs the tool, which succeeds.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := call(t, args...)
	require.Zero(t, r.status, "kata-tes %v", args)
	return r.out
}
