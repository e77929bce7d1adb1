// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"strings"

	"github.com/kata-tes/kata-tes/agentproto"
)

// mappingTests: the guest's cryptsetup makes the right mapping, and then it is
// changed in one field. $T is the table as dmsetup prints it:
// 1 start, 2 length, 3 "crypt", 4 cipher, 5 key, 6 IV offset, 7 device,
// 8 offset, 9 number of options, 10 "sector_size:4096".
var mappingTests = tests{
	"mapping/cipher-null": edited(`s/aes-xts-plain64 [0-9a-f]*/cipher_null-ecb -/`),
	"mapping/cipher":      edited(`s/aes-xts-plain64 \([0-9a-f]\{64\}\)[0-9a-f]*/aes-cbc-plain64 \1/`),
	"mapping/iv":          edited(`s/aes-xts-plain64/aes-xts-plain/`),
	"mapping/key-size":    edited(`s/plain64 \([0-9a-f]\{64\}\)[0-9a-f]*/plain64 \1/`),
	"mapping/key-zero":    edited(`s/plain64 [0-9a-f]*/plain64 ` + strings.Repeat("0", 128) + `/`),
	"mapping/iv-offset":   edited(`s/ 0 \([0-9]*:[0-9]* 32768\)/ 8 \1/`),
	"mapping/device":      otherDevice,
	"mapping/offset":      edited(`s/ 32768 1 / 16384 1 /`),
	"mapping/sector-size": edited(`s/ 1 sector_size:4096//`),
	"mapping/discards":    edited(`s/1 sector_size:4096/2 sector_size:4096 allow_discards/`),
	"mapping/read-only":   changed(`echo "$T" | dmsetup load --readonly $N && dmsetup resume $N`),
	"mapping/shorter":     reloaded(`awk '{$2 -= 8; print}'`),
	"mapping/linear":      reloaded(`awk '{print $1, $2, "linear", $7, $8}'`),
	"mapping/two-targets": reloaded(`awk '{l = $2 - 8; $2 = l; print; print l, 8, "linear", $7, $8 + l}'`),
	"mapping/waiting":     changed(`echo "$T" | sed 's/aes-xts-plain64 [0-9a-f]*/cipher_null-ecb -/' | dmsetup load $N`),
	"mapping/uuid":        changed(`dmsetup remove $N && echo "$T" | dmsetup create $N`),
	"mapping/node":        changed(`rm /dev/mapper/$N && mknod /dev/mapper/$N b 1 3`),
}

// changed does something to the mapping as soon as it is there.
func changed(script string) func(a *attempt) {
	return func(a *attempt) {
		marker := agentproto.NewMarker()
		a.disk(size).plug(marker)
		a.wrap(cryptsetup, `[ "$1" = luksOpen ] || exec $REAL "$@"
$REAL "$@" || exit
export DM_DISABLE_UDEV=1
N=`+mapping+`
T=$(dmsetup table --showkeys $N)
{ `+script+`; } >/run/attack/said 2>&1 && touch /run/attack/changed
exit 0`)
		err := a.tryPrepare(marker)
		// Otherwise the refusal would be about something else.
		a.sh("cat /run/attack/said; test -e /run/attack/changed")
		a.refused(err)
	}
}

// reloaded puts the table through a filter.
func reloaded(filter string) func(a *attempt) {
	return changed(`echo "$T" | ` + filter + ` >/run/attack/table && ! echo "$T" | cmp -s - /run/attack/table && dmsetup load $N /run/attack/table && dmsetup resume $N`)
}

func edited(expression string) func(a *attempt) { return reloaded("sed '" + expression + "'") }

func otherDevice(a *attempt) {
	other := a.disk(size)
	other.plugWith(agentproto.NewMarker(), options{elsewhere: true})
	number := strings.TrimSpace(a.sh("cat /sys/block/" + strings.TrimPrefix(other.device(), "/dev/") + "/dev"))
	edited(`s/ [0-9]*:[0-9]* 32768/ ` + number + ` 32768/`)(a)
}
