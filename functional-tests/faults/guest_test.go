// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// What a wrapper in the guest does, once, in the place of its program, which is
// `real` in its directory. Two named pipes tell that it was reached and when it
// may go on.
const (
	holdBefore = `echo >/run/fault/reached; read go </run/fault/go; exec "$real" "$@"`
	holdAfter  = `"$real" "$@"; status=$?; echo >/run/fault/reached; read go </run/fault/go; exit $status`
	failing    = `echo "a fault of this test" >&2; exit 1`
	endless    = `sleep 100000`
	losing     = `"$real" "$@"; echo "a fault of this test" >&2; exit 1`
)

// wrap puts a script in front of a program of the guest ("cryptsetup luksOpen":
// of that action of it).
func (tr *trial) wrap(program, script string) {
	tr.t.Helper()
	name, action, _ := strings.Cut(program, " ")
	wrapper := fmt.Sprintf(`#!/bin/sh
real=/usr/sbin/real/%s
case " $* " in *" %s "*) if rm /run/fault/armed 2>/dev/null; then
%s
fi;; esac
exec "$real" "$@"
`, name, action, script)
	if action == "" {
		wrapper = strings.Replace(wrapper, `*"  "*`, `*`, 1)
	}
	// mkfs.ext4 goes by its name, and is a link beside its program.
	tr.guest.Must(tr.t, fmt.Sprintf(`set -e
mkdir -p /run/fault /usr/sbin/real
mkfifo /run/fault/reached /run/fault/go
touch /run/fault/armed
path=$(readlink -f /usr/sbin/%[1]s)
mv /usr/sbin/%[1]s /usr/sbin/real.link
[ -e "$path" ] || path=/usr/sbin/real.link
ln -s "$path" /usr/sbin/real/%[1]s
cat >/usr/sbin/%[1]s <<"END"
%[2]sEND
chmod 755 /usr/sbin/%[1]s`, name, wrapper))
}

// hold is a step that waits.
type hold struct {
	// reached is closed, or has an error, when the step is there.
	reached <-chan error
	// release lets it go on, where it still can.
	release func()
}

// holdProgram wraps a program so that it waits.
func (tr *trial) holdProgram(program, script string) hold {
	tr.t.Helper()
	tr.wrap(program, script)
	reached := make(chan error, 1)
	guest, ctx := tr.guest, tr.t.Context()
	go func() {
		_, _, err := guest.Run(ctx, "read x </run/fault/reached")
		reached <- err
	}()
	return hold{reached: reached, release: func() {
		// Whoever waited may be dead, with its guest or without.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		output, status, err := guest.Run(ctx, `timeout 3 sh -c "echo >/run/fault/go"`)
		tr.t.Logf("the guest's program may go on: status %d %q %v", status, output, err)
	}}
}

// killAgent kills the guest's agent extension and, as its unit's KillMode does,
// what it has started.
func (tr *trial) killAgent() {
	tr.t.Helper()
	tr.guest.Must(tr.t, `killall -KILL kata-tes-agent || exit 1; killall -q -KILL cryptsetup mkfs.ext4; while pidof kata-tes-agent; do :; done; true`)
}

// restartAgent does what Restart=on-failure does.
func (tr *trial) restartAgent() {
	tr.t.Helper()
	tr.guest.Must(tr.t, `setsid /usr/bin/kata-tes-agent </dev/null >/dev/console 2>&1 & true`)
}

// checkStore looks for exactly one store in the guest, and for all containers to
// have been made on it.
func (tr *trial) checkStore() {
	tr.t.Helper()
	mounts := tr.guest.Must(tr.t, "cat /proc/mounts")
	const device = "/dev/mapper/ephemeral_image_encrypted_disk"
	for _, at := range []string{"/run/image", "/run/kata-containers/image"} {
		require.Equal(tr.t, 1, strings.Count(mounts, device+" "+at+" "), "mounts at %s in\n%s", at, mounts)
	}
	require.Len(tr.t, strings.Split(strings.TrimSpace(tr.guest.Must(tr.t, "dmsetup ls")), "\n"), 1, "mappings in the guest")
	for i, record := range tr.guest.Records(tr.t) {
		if i > 0 { // the first is the sandbox's own
			require.Len(tr.t, record.Mounts, 2, "container %s was made without the store", record.Request.GetContainerId())
		}
	}
}

// checkNothing looks for no trace of a store in the guest.
func (tr *trial) checkNothing() {
	tr.t.Helper()
	require.NotContains(tr.t, tr.guest.Must(tr.t, "cat /proc/mounts"), "ephemeral_image_encrypted_disk")
	require.NotContains(tr.t, tr.guest.Must(tr.t, "dmsetup ls"), "ephemeral_image_encrypted_disk")
	require.Empty(tr.t, tr.guest.Must(tr.t, "[ ! -d /run/kata-tes ] || find /run/kata-tes -type f"), "header and record")
}
