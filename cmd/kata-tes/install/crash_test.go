// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/stretchr/testify/require"
)

var errInjected = errors.New("injected")

// faulty runs a command whose operation number at fails; with dead, so do all
// that follow, as if the process were not there any more. It says whether there
// were so many operations.
func faulty(t *testing.T, o Options, do func(context.Context, *node.Tree, *journal.Journal, Options) (*Result, error), at int, dead bool) (reached bool) {
	t.Helper()
	tree, err := node.Open(o.Root)
	require.NoError(t, err)
	defer func() { require.NoError(t, tree.Close()) }()
	j, err := journal.Open(tree)
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	count := 0
	j.Intercept(func(operation, name string) error {
		count++
		if count == at || dead && count > at {
			return fmt.Errorf("%w: %s of %s", errInjected, operation, name)
		}
		return nil
	})
	_, err = do(context.Background(), tree, j, o)
	if count < at {
		require.NoError(t, err)
		return false
	}
	require.ErrorIs(t, err, errInjected)
	return true
}

// crashTrees have all kinds of changes: edits, drop-ins, copies.
var crashTrees = []string{"containerd-1.6", "containerd-2.0"}

// eachCrashTree runs a test on each of them. was is what the node had, o an
// installation of its handlers.
func eachCrashTree(t *testing.T, do func(t *testing.T, root string, was map[string]string, o Options)) {
	for _, name := range crashTrees {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := newNode(t, name)
			do(t, root, everything(t, root), options(t, root, trees[name].chosen...))
		})
	}
}

func TestInstallThatDiesAnywhere(t *testing.T) {
	eachCrashTree(t, func(t *testing.T, root string, was map[string]string, o Options) {
		_, err := Install(context.Background(), o)
		require.NoError(t, err)
		is := everything(t, root)
		_, err = Uninstall(context.Background(), Options{Root: root})
		require.NoError(t, err)

		at := 1
		for ; faulty(t, o, install, at, true); at++ {
			// Either way out of it.
			if at%2 == 0 {
				_, err = Install(context.Background(), o)
				require.NoError(t, err, "operation %d", at)
				same(t, is, everything(t, root))
			}
			_, err = Uninstall(context.Background(), Options{Root: root})
			require.NoError(t, err, "operation %d", at)
			same(t, was, everything(t, root))
		}
		require.Greater(t, at, 40, "operations were counted")
	})
}

func TestInstallWithAnErrorAnywhere(t *testing.T) {
	eachCrashTree(t, func(t *testing.T, root string, was map[string]string, o Options) {
		for at := 1; faulty(t, o, install, at, false); at++ {
			after := everything(t, root)
			if _, recorded := after["/var/lib/kata-tes/install.json"]; recorded {
				// All files were in place, only closing the record failed.
				_, err := Uninstall(context.Background(), Options{Root: root})
				require.NoError(t, err)
				after = everything(t, root)
			}
			same(t, was, after)
		}
	})
}

func TestUninstallThatDiesAnywhere(t *testing.T) {
	eachCrashTree(t, func(t *testing.T, root string, was map[string]string, o Options) {
		_, err := Install(context.Background(), o)
		require.NoError(t, err)
		is := everything(t, root)

		at := 1
		for ; faulty(t, Options{Root: root}, uninstall, at, true); at++ {
			if at%2 == 0 {
				_, err = Uninstall(context.Background(), Options{Root: root})
				require.NoError(t, err, "operation %d", at)
				same(t, was, everything(t, root))
			}
			_, err = Install(context.Background(), o)
			require.NoError(t, err, "operation %d", at)
			same(t, is, everything(t, root))
		}
		require.Greater(t, at, 20, "operations were counted")
	})
}

func TestAChangeOfHandlersThatDiesAnywhere(t *testing.T) {
	t.Parallel()
	root := newNode(t, "containerd-1.7")
	was := everything(t, root)
	first := options(t, root, "kata-qemu-tdx")
	second := options(t, root, "kata-qemu-snp", "kata-qemu")
	second.From = ourPrograms(t, "2")
	_, err := Install(context.Background(), second)
	require.NoError(t, err)
	is := everything(t, root)
	_, err = Install(context.Background(), first)
	require.NoError(t, err)

	for at := 1; faulty(t, second, install, at, true); at++ {
		if at%2 == 0 {
			_, err = Install(context.Background(), second)
			require.NoError(t, err, "operation %d", at)
			same(t, is, everything(t, root))
		} else {
			_, err = Uninstall(context.Background(), Options{Root: root})
			require.NoError(t, err, "operation %d", at)
			same(t, was, everything(t, root))
		}
		_, err = Install(context.Background(), first)
		require.NoError(t, err, "operation %d", at)
	}
}

// TestACrashOverWhatOthersChanged: neither the old edits nor the new ones stay,
// and the others' lines do.
func TestACrashOverWhatOthersChanged(t *testing.T) {
	t.Parallel()
	root := newNode(t, "containerd-1.6")
	main := filepath.Join(root, mainFile)
	was := read(t, main)
	first := options(t, root, "kata-qemu-tdx")
	second := options(t, root, "kata-qemu-snp")
	at := 1
	for ; ; at++ {
		put(t, main, was, 0o640)
		_, err := Install(context.Background(), first)
		require.NoError(t, err)
		put(t, main, read(t, main)+"[debug]\n", 0o640)
		reached := faulty(t, second, install, at, true)
		_, err = Uninstall(context.Background(), Options{Root: root, Force: true})
		require.NoError(t, err)
		require.Equal(t, was+"[debug]\n", read(t, main), "operation %d", at)
		if !reached {
			break
		}
	}
	require.Greater(t, at, 20, "operations were counted")
}
