// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/metrics"
)

var (
	// ErrLate says that other containers were created before the store was
	// asked for, and that the node's configuration refuses that.
	ErrLate = errors.New("this pod's trusted store was asked for too late")
	// ErrShared says that a container that was created before has the store's
	// disk.
	ErrShared = errors.New("another container of the pod has the trusted store's disk")
)

// maxForerunners bounds the names that messages have.
const maxForerunners = 8

// Container is one of the pod's.
type Container struct {
	ID string
	// Name is what the pod calls it; the id where it has no name.
	Name string
	// Devices are the block devices that the runtime gives it.
	Devices []hostdev.Number
}

// forerunners are the containers that were let through before the store was
// asked for. Each counts, whatever became of it: one whose creation failed in
// the inner shim, or that has ended, may have had its image unpacked in the
// guest before, and nobody takes that away again.
type forerunners struct {
	// names without repetition: a container that restarts is the same one.
	names []string
	more  int
	// devices are theirs, with a name for each.
	devices map[hostdev.Number]string
}

func (f *forerunners) add(c Container) {
	for _, device := range c.Devices {
		if f.devices == nil {
			f.devices = map[hostdev.Number]string{}
		}
		f.devices[device] = c.Name
	}
	for _, name := range f.names {
		if name == c.Name {
			return
		}
	}
	if len(f.names) == maxForerunners {
		f.more++
		return
	}
	f.names = append(f.names, c.Name)
}

func (f *forerunners) any() bool { return len(f.names) > 0 }

// String says who came first, and what a person can do. Empty where nobody did.
func (f *forerunners) String() string {
	if !f.any() {
		return ""
	}
	quoted := make([]string, len(f.names))
	for i, name := range f.names {
		quoted[i] = fmt.Sprintf("%.80q", name)
	}
	what := "container " + quoted[0] + " was created before the one with the trusted store, and its image is in the guest's memory"
	if len(quoted) > 1 || f.more > 0 {
		if f.more > 0 {
			quoted = append(quoted, strconv.Itoa(f.more)+" more")
		}
		last := len(quoted) - 1
		what = "containers " + strings.Join(quoted[:last], ", ") + " and " + quoted[last] + " were created before the one with the trusted store, and their images are in the guest's memory"
	}
	return what + "; " + reorder
}

const reorder = "list the container with the trusted store first, or make it a native sidecar (an init container with restartPolicy: Always) before all others, then delete the pod and create it again"

// Admit lets a container through that doesn't ask for the store, unless the
// store was asked for and isn't ready (see Check). Whoever is let through
// before the store was asked for is remembered; that both are decided in one
// step leaves no container in between.
func (s *Store) Admit(c Container) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(); err != nil {
		return err
	}
	if !s.asked {
		s.before.add(c)
	}
	return nil
}

// ask notes that a container asks for the store. Only what came before the
// first time counts: from then on nobody else is let through until the store
// is ready. The caller holds mu.
func (s *Store) ask(container string) {
	if s.asked {
		return
	}
	s.asked = true
	if !s.before.any() {
		return
	}
	s.Metrics.Add(metrics.LateStores, string(s.LateStore))
	s.Log.WithField("container", container).WithField("before", s.before.names).WithField("late_store", s.LateStore).
		Warn("the trusted store is asked for late: " + s.before.String())
}

// checkOrder refuses a store that containers before it rule out. The caller holds mu.
func (s *Store) checkOrder(device hostdev.Number) error {
	if name, shared := s.before.devices[device]; shared {
		return fmt.Errorf("%w: container %.80q, which was created before, was given block device %s; remove it from that container's volumeDevices, then delete the pod and create it again", ErrShared, name, device)
	}
	if s.LateStore == config.LateRefuse && s.before.any() {
		return fmt.Errorf("%w: %s", ErrLate, s.before.String())
	}
	return nil
}
