// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// Uninstall puts back what the node had before the runtime was installed. It goes
// on where an earlier call, or an installation, was cut off. Without an
// installation there is nothing to do.
func Uninstall(ctx context.Context, o Options) (*Result, error) {
	return onNode(ctx, o, uninstall)
}

func uninstall(ctx context.Context, tree *node.Tree, j *journal.Journal, o Options) (*Result, error) {
	result := &Result{DryRun: o.DryRun, Restart: NotNeeded, Handlers: []HandlerFor{}, Files: []FileChange{}}
	var now info
	installed, err := j.Info(&now)
	if err != nil {
		return nil, err
	}
	if !installed {
		// What a crash may have left of the record.
		if !o.DryRun {
			err = j.Forget()
		}
		return result, err
	}
	changes, err := undoing(tree, j, o)
	if err != nil {
		return nil, err
	}
	now.RestartPending = now.RestartPending || touches(changes, now.ContainerdFiles)
	result.Files = describe(changes)
	if now.RestartPending {
		result.Restart = Needed
	}
	if o.DryRun {
		return result, nil
	}
	if err := o.checkRestart(tree, now); err != nil {
		return nil, err
	}
	t, err := j.Begin(nil, now)
	if err != nil {
		return nil, err
	}
	if o.Restart != nil && now.RestartPending {
		if err := o.Restart.Restart(ctx, tree, now.ContainerdConfig); err != nil {
			return nil, fmt.Errorf("all files are as they were before kata-tes was installed, but %w; run the command again when that is mended", err)
		}
		result.Restart = Restarted
	}
	return result, errors.Join(t.Commit(now), dropRunFolder(tree))
}

// undoing says what changes, and refuses to go over what somebody else has done.
func undoing(tree *node.Tree, j *journal.Journal, o Options) ([]journal.Change, error) {
	_, conflicts, err := j.Before()
	if err != nil {
		return nil, err
	}
	if len(conflicts) > 0 && !o.Force {
		return nil, fmt.Errorf("%w: %s; nothing has been changed; --force takes out what is ours and leaves what others have done in files that are not ours",
			ErrChanged, listed(conflicts))
	}
	running, err := sandboxes(tree)
	if err != nil {
		return nil, err
	}
	if len(running) > 0 && !o.Force {
		return nil, fmt.Errorf("%w: %s; delete those pods first, or use --force: containerd then forgets them when it restarts, and what runs of them has to be ended by hand", ErrInUse, strings.Join(running, ", "))
	}
	return j.Changes(nil)
}

// sandboxes are those that our shim looks after.
func sandboxes(tree *node.Tree) ([]string, error) {
	names, err := tree.List(rundir.Root)
	if err != nil {
		return nil, fmt.Errorf("looking for running pods: %w", err)
	}
	var ids []string
	for _, name := range names {
		if rundir.ValidateID(name) == nil {
			ids = append(ids, name)
		}
	}
	return ids, nil
}

// dropRunFolder removes what is not of any pod, the metrics, and the folder if
// nothing else is in it: a pod that starts at this moment keeps its own.
func dropRunFolder(tree *node.Tree) error {
	names, err := tree.List(rundir.Root)
	if err != nil {
		return err
	}
	folder, err := tree.Resolve(rundir.Root)
	if err != nil {
		return err
	}
	folder = strings.TrimPrefix(folder, "/")
	for _, name := range names {
		if strings.HasPrefix(name, "_") {
			if err := tree.Root().RemoveAll(path.Join(folder, name)); err != nil {
				return fmt.Errorf("removing the metrics: %w", err)
			}
		}
	}
	err = tree.Root().Remove(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return fmt.Errorf("removing %s: %w", rundir.Root, err)
	}
	return nil
}
