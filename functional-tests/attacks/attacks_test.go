// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// tests are attacks by group and id.
type tests map[string]func(a *attempt)

// everything has the tests of all files.
func everything() tests {
	all := tests{}
	for _, some := range []tests{
		markerTests, contentsTests, useTests, shapeTests, headerTests, mappingTests, mountpointTests,
		tamperTests, prepareTests, releaseTests, callTests, frameTests, localTests, pullTests,
	} {
		maps.Copy(all, some)
	}
	return all
}

// spoils are groups after which a guest is of no more use.
var spoils = map[string]bool{"pull": true}

// score counts what came of the attacks.
type score struct{ tried, refused, limits, failed, left int }

// everyAttack: without it, those that are much like others are left out.
func everyAttack() bool { return os.Getenv("TES_ALL") == "1" }

// TestAttacks tries all of the table on as few guests as possible.
func TestAttacks(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	var s score
	var r *rig
	for _, g := range Table {
		t.Run(g.Name, func(group *testing.T) {
			for _, row := range g.Attacks {
				if row.Rest && !everyAttack() {
					s.left++
					continue
				}
				// The guest outlives the group.
				if r == nil {
					r = newRig(t, containerd, g.Name)
				}
				if !r.try(group, g.Name, row, &s) {
					// What is wrong with it must not spoil the others.
					r.leave(t)
					r = nil
				}
			}
			if r == nil {
				return
			}
			if spoils[g.Name] {
				r.leave(t)
				r = nil
				return
			}
			group.Run("honest", r.honest)
		})
	}
	t.Logf("summary: %d of %d attacks in this run (TES_ALL=1 tries all); %d of them show limits that the threat model names",
		s.tried+s.limits, s.tried+s.limits+s.left, s.limits)
	// To the terminal as well where tests are not verbose.
	fmt.Fprintf(os.Stdout, "attacks: %d tried, %d refused (or harmless), %d succeeded\n", s.tried, s.refused, s.failed)
}

// leave ends a guest before the test does.
func (r *rig) leave(t *testing.T) {
	t.Helper()
	require.NoError(t, r.pod.Remove(t.Context()))
}

// try tries one attack, and looks at the guest afterwards.
func (r *rig) try(t *testing.T, group string, row Attack, s *score) (passed bool) {
	began := time.Now()
	tried := false
	passed = t.Run(row.ID, func(t *testing.T) {
		tried = true
		a := &attempt{T: t, rig: r, row: row}
		t.Cleanup(func() { r.requireClean(t) })
		everything()[group+"/"+row.ID](a)
		a.requireAsTheRowSays()
	})
	if !tried { // -run has left it out
		return true
	}
	t.Logf("%s/%s: %.1f s", group, row.ID, time.Since(began).Seconds())
	switch {
	case passed && row.Limit:
		s.limits++
		return passed
	case passed:
		s.refused++
	default:
		s.failed++
	}
	s.tried++
	return passed
}

// honest: what was refused has damaged nothing.
func (r *rig) honest(t *testing.T) {
	t.Cleanup(func() { r.requireClean(t) })
	a := &attempt{T: t, rig: r}
	marker := agentproto.NewMarker()
	a.disk(size).plug(marker)
	a.mustPrepare(marker)
	a.mustRelease(marker)
}

// attempt is one attack on a guest.
type attempt struct {
	*testing.T
	*rig
	row Attack
	// told says that the guest's refusal was seen.
	told bool
}

// refused makes sure that err is the refusal that the row has.
func (a *attempt) refused(err error) {
	a.Helper()
	require.Equal(a, a.row.Code.String(), codeOf(err).String(), "%v", err)
	require.ErrorContains(a, err, a.row.Says)
	require.Less(a, len(err.Error()), 2000, "an answer that the host makes as long as it likes")
	a.Log("the guest says:", err)
	a.told = true
}

func (a *attempt) requireAsTheRowSays() {
	if a.row.Code != codes.OK {
		require.True(a, a.told, "the test has not seen the refusal that the row has")
	}
}

// requireEmptyStore: the store has nothing in it but what mkfs makes, by both of
// its paths.
func (a *attempt) requireEmptyStore() {
	a.Helper()
	for _, at := range mountPoints {
		require.Equal(a, "lost+found", strings.TrimSpace(a.sh("ls -A "+at)))
	}
	require.Equal(a, "aes-xts-plain64", strings.Fields(a.sh("dmsetup table " + mapping))[3])
}
