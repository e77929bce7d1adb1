// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/stretchr/testify/require"
)

// restarts counts, and fails while there are errors left.
type restarts struct {
	count int
	errs  []error
	// saw is the main file at each of them.
	saw []string
}

func (r *restarts) Check(*node.Tree, string) error { return nil }

func (r *restarts) Restart(_ context.Context, tree *node.Tree, config string) error {
	r.count++
	content, err := tree.Read(config)
	r.saw = append(r.saw, string(content))
	if err == nil && len(r.errs) > 0 {
		err, r.errs = r.errs[0], r.errs[1:]
	}
	return err
}

func TestRestartOnlyWhenNeeded(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	r := &restarts{}
	o := options(t, root, "kata-qemu-tdx")
	result, err := Install(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, Needed, result.Restart)

	// Not restarted yet, so it is made up for.
	o.Restart = r
	result, err = Install(context.Background(), o)
	require.NoError(t, err)
	require.Empty(t, result.Files)
	require.Equal(t, Restarted, result.Restart)
	require.Equal(t, 1, r.count)

	result, err = Install(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, NotNeeded, result.Restart)
	o.From = ourPrograms(t, "2")
	result, err = Install(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, NotNeeded, result.Restart, "programs are no concern of containerd's")
	require.Equal(t, 1, r.count)

	result, err = Uninstall(context.Background(), Options{Root: root, Restart: r})
	require.NoError(t, err)
	require.Equal(t, Restarted, result.Restart)
	require.NotContains(t, r.saw[1], node.RuntimeType)
	_, err = Uninstall(context.Background(), Options{Root: root, Restart: r})
	require.NoError(t, err)
	require.Equal(t, 2, r.count)
}

func TestContainerdThatDoesNotStart(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	was := everything(t, root)
	failed := errors.New("it does not start")
	o := options(t, root, "kata-qemu-tdx")
	r := &restarts{errs: []error{failed}}
	o.Restart = r
	_, err := Install(context.Background(), o)
	require.ErrorIs(t, err, failed)
	require.ErrorContains(t, err, "as they were before")
	require.Equal(t, 2, r.count)
	require.Contains(t, r.saw[0], node.RuntimeType)
	require.NotContains(t, r.saw[1], node.RuntimeType)
	same(t, was, everything(t, root))

	// Over another installation that one comes back.
	o.Restart = nil
	_, err = Install(context.Background(), o)
	require.NoError(t, err)
	is := everything(t, root)
	o.Handlers = []string{"kata-qemu", "kata-qemu-snp"}
	o.From, o.Restart = ourPrograms(t, "2"), &restarts{errs: []error{failed}}
	_, err = Install(context.Background(), o)
	require.ErrorIs(t, err, failed)
	same(t, is, everything(t, root))

	// Uninstall is not taken back, but goes on the next time.
	_, err = Uninstall(context.Background(), Options{Root: root, Restart: &restarts{errs: []error{failed}}})
	require.ErrorIs(t, err, failed)
	r = &restarts{}
	_, err = Uninstall(context.Background(), Options{Root: root, Restart: r})
	require.NoError(t, err)
	require.Equal(t, 1, r.count)
	same(t, was, everything(t, root))
}

func TestRestartByCommand(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	tree, err := node.Open(root)
	require.NoError(t, err)
	defer func() { require.NoError(t, tree.Close()) }()
	require.NoError(t, Command{"/bin/sh", "-c", `touch "$KATA_TES_ROOT/asked"`}.Restart(context.Background(), tree, mainFile))
	require.FileExists(t, filepath.Join(root, "asked"))
	err = Command{"/bin/sh", "-c", "echo no unit of that name >&2; exit 5"}.Restart(context.Background(), tree, mainFile)
	require.ErrorContains(t, err, "no unit of that name")
	require.ErrorContains(t, err, "exit status 5")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, Command{"/bin/sh", "-c", "exec sleep 1000"}.Restart(ended, tree, mainFile), context.Canceled)
}

// TestRestartBySystemd runs the systemctl of a node that is mounted elsewhere.
func TestRestartBySystemd(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	tree, err := node.Open(root)
	require.NoError(t, err)
	defer func() { require.NoError(t, tree.Close()) }()
	require.ErrorContains(t, Systemd{}.Restart(context.Background(), tree, mainFile), "--restart-command")
	require.ErrorContains(t, Systemd{}.Restart(context.Background(), tree, "/etc/k0s/containerd.toml"), "--restart-command")

	// That is known before anything is changed.
	was := everything(t, root)
	o := options(t, root, "kata-qemu-tdx")
	for _, restarter := range []Restarter{Systemd{}, Command{"/no/such/program"}} {
		o.Restart = restarter
		_, err = Install(context.Background(), o)
		require.ErrorContains(t, err, "--restart-command")
		same(t, was, everything(t, root))
	}

	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	build := exec.Command("go", "build", "-o", filepath.Join(root, "/usr/bin/systemctl"), "./testdata/systemctl")
	// It has no libraries in the node.
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NoError(t, Systemd{}.Restart(context.Background(), tree, mainFile))
	require.Equal(t, "1 restart containerd.service", read(t, root, "called"))
}
