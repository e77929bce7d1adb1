// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"fmt"

	"github.com/kata-tes/kata-tes/agentproto"
)

// Steps of a preparation that a test can stop at.
const (
	luksFormat = "luksFormat"
	luksOpen   = "luksOpen"
	mkfs       = "mkfs"
)

const (
	cryptsetup = "/usr/sbin/cryptsetup"
	mkfsExt4   = "/usr/sbin/mkfs.ext4"
)

// wrap puts a script in front of one of the guest's programs, until the test
// ends. In it, $REAL is the program. (mkfs.ext4 goes by its own name.)
func (a *attempt) wrap(program, script string) {
	a.Helper()
	real := program + ".real"
	if program == mkfsExt4 {
		real = "/usr/sbin/mke2fs -t ext4"
	}
	a.sweep(fmt.Sprintf("mv %[1]s.real %[1]s && rm -rf /run/attack", program))
	a.sh(fmt.Sprintf(`mkdir -p /run/attack && mv %[1]s %[1]s.real && cat >%[1]s <<"EOF" && chmod 755 %[1]s
#!/bin/sh
REAL="%[2]s"
%[3]s
exec $REAL "$@"
EOF`, program, real, script))
}

// during calls Prepare, has the host do something when the guest has come to
// the step and waits there, and gives what Prepare answers.
func (a *attempt) during(step string, marker agentproto.Marker, do func()) error {
	a.Helper()
	program := cryptsetup
	if step == mkfs {
		program = mkfsExt4
	}
	a.wrap(program, fmt.Sprintf(`[ "${0##*/}" = mkfs.ext4 ] || [ "$1" = %s ] || exec $REAL "$@"
touch /run/attack/reached
while [ ! -e /run/attack/go ]; do sleep 0.05; done`, step))
	outcome := a.preparing(marker)
	a.sh("i=0; while [ ! -e /run/attack/reached ]; do i=$((i+1)); [ $i -lt 1200 ] || exit 1; sleep 0.05; done")
	do()
	a.sh("touch /run/attack/go")
	return outcome()
}
