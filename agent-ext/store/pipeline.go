// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
	"github.com/kata-tes/kata-tes/agentproto"
)

// pipeline is the real work: from a marker to a mounted file system.
type pipeline struct {
	config config.Store
	// record is the path of the record for the next process.
	record string
	parts  parts
}

// parts are what a store is made with; guestParts are the real ones.
type parts interface {
	// CheckMemory: what is meant to stay in memory stays there.
	CheckMemory() error
	// CheckMountPoint: a store can be mounted there.
	CheckMountPoint(at string) error
	// Find waits for the disk with the marker and gives its name.
	Find(ctx context.Context, marker string) (string, error)
	// Take verifies the disk, erases its old signatures and pins it.
	Take(name, marker string, minimum uint64) (*disk.Disk, error)
	// Volume is the disk as an encrypted volume to be. With a nil disk it can
	// be closed only.
	Volume(d *disk.Disk) volume

	Make(ctx context.Context, device string) error
	Mount(device, at string) error
	Bind(from, at string) error
	Unmount(device, at string) error
	// Mounted says whether the device's file system is seen there.
	Mounted(device, at string) (bool, error)
	// CheckUnused fails where mounts of others need the file system.
	CheckUnused(mountPoints []string) error
}

// volume is a luks.Volume.
type volume interface {
	Path() string
	CheckName() error
	Format(ctx context.Context, key *luks.Key) error
	Open(ctx context.Context, key *luks.Key) error
	ForgetKey() error
	Verify() (size uint64, err error)
	Close(ctx context.Context) error
	RemoveHeader() error
}

// prepare implements work.
func (p *pipeline) prepare(ctx context.Context, marker agentproto.Marker, u *undo) (_ *Ready, err error) {
	watch := newStopwatch()
	if err := p.checkGuest(); err != nil {
		return nil, err
	}
	u.add("forgetting the store", func(context.Context) error { return removeRecord(p.record) })
	if err := (record{Marker: marker}).write(p.record); err != nil {
		return nil, err
	}
	d, err := p.take(ctx, marker, watch)
	if err != nil {
		return nil, err
	}
	// Pinned until the mapping holds the disk.
	defer func() { err = errors.Join(err, d.Close()) }()
	// Whose disk it is: what a tool leaves that is killed with us is found so.
	if err := (record{Marker: marker, Disk: d}).write(p.record); err != nil {
		return nil, err
	}

	v := p.parts.Volume(d)
	if err := encrypt(ctx, v, u, watch); err != nil {
		return nil, err
	}
	size, err := v.Verify()
	if err != nil {
		return nil, err
	}
	watch.lap("check")
	if err := p.parts.Make(ctx, v.Path()); err != nil {
		return nil, err
	}
	watch.lap("mkfs")
	if err := p.mount(ctx, v.Path(), u); err != nil {
		return nil, err
	}
	watch.lap("mount")
	ready := &Ready{Mapping: p.config.Mapping, MountPoints: p.config.MountPoints, Size: size, Disk: d.Number(), Steps: watch.steps}
	return ready, record{Marker: marker, Disk: d, Ready: ready}.write(p.record)
}

// checkGuest finds out at once what no disk can make good. That images are where
// the store is to be mounted never changes while the virtual machine lives:
// each of the kubelet's retries would format the disk for nothing. (What counts
// is the check when it is mounted: whatever the host does meanwhile.)
func (p *pipeline) checkGuest() error {
	if err := p.parts.CheckMemory(); err != nil {
		return err
	}
	for _, at := range p.config.MountPoints {
		if err := p.parts.CheckMountPoint(at); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) take(ctx context.Context, marker agentproto.Marker, watch *stopwatch) (*disk.Disk, error) {
	finding, cancel := context.WithTimeout(ctx, time.Duration(p.config.FindTimeout))
	defer cancel()
	name, err := p.parts.Find(finding, string(marker))
	if err != nil {
		return nil, err
	}
	watch.lap("find")
	d, err := p.parts.Take(name, string(marker), uint64(p.config.MinimumSize))
	if err != nil {
		return nil, err
	}
	watch.lap("verify")
	return d, nil
}

// encrypt formats and opens with a key that exists for as long as that takes.
func encrypt(ctx context.Context, v volume, u *undo, watch *stopwatch) (err error) {
	key, err := luks.NewKey()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, key.Destroy()) }()

	if err := v.CheckName(); err != nil {
		return err
	}
	// A header of an earlier life is never opened. (Each way back is
	// registered before: what is killed half-way has left something too.)
	if err := v.RemoveHeader(); err != nil {
		return err
	}
	u.add("removing the header", func(context.Context) error { return v.RemoveHeader() })
	u.add("closing the mapping", v.Close)
	if err := v.Format(ctx, key); err != nil {
		return err
	}
	watch.lap("format")
	if err := v.Open(ctx, key); err != nil {
		return err
	}
	if err := v.ForgetKey(); err != nil {
		return err
	}
	watch.lap("open")
	return nil
}

// mount mounts at the first mount point and binds to the others.
func (p *pipeline) mount(ctx context.Context, device string, u *undo) error {
	for i, at := range p.config.MountPoints {
		if ctx.Err() != nil {
			return fmt.Errorf("mounting: %w", context.Cause(ctx))
		}
		if err := p.mountOne(device, i); err != nil {
			return err
		}
		u.addReversible("unmounting "+at,
			func(context.Context) error { return p.parts.Unmount(device, at) },
			func() error { return p.mountOne(device, i) })
	}
	return nil
}

func (p *pipeline) mountOne(device string, i int) error {
	if i == 0 {
		return p.parts.Mount(device, p.config.MountPoints[0])
	}
	return p.parts.Bind(p.config.MountPoints[0], p.config.MountPoints[i])
}

// found implements work.
func (p *pipeline) found(u *undo) (agentproto.Marker, *Ready, error) {
	r, err := readRecord(p.record)
	if err != nil || r == nil {
		return "", nil, err
	}
	v := p.parts.Volume(r.Disk)
	u.add("forgetting the store", func(context.Context) error { return removeRecord(p.record) })
	u.add("removing the header", func(context.Context) error { return v.RemoveHeader() })
	u.add("closing the mapping", v.Close)
	for i, at := range p.config.MountPoints {
		u.addReversible("unmounting "+at,
			func(context.Context) error { return p.parts.Unmount(v.Path(), at) },
			func() error { return p.mountOne(v.Path(), i) })
	}
	if r.Ready == nil || r.Disk == nil {
		return r.Marker, nil, errors.New("it was being prepared")
	}
	return r.Marker, r.Ready, p.stillThere(v)
}

// stillThere says whether the store is as it was made.
func (p *pipeline) stillThere(v volume) error {
	if _, err := v.Verify(); err != nil {
		return err
	}
	for _, at := range p.config.MountPoints {
		mounted, err := p.parts.Mounted(v.Path(), at)
		if err != nil {
			return err
		}
		if !mounted {
			return fmt.Errorf("%s is not mounted at %s", v.Path(), at)
		}
	}
	return nil
}

// unused implements work.
func (p *pipeline) unused() error { return p.parts.CheckUnused(p.config.MountPoints) }

// stopwatch measures steps one after the other.
type stopwatch struct {
	last  time.Time
	steps []Step
}

func newStopwatch() *stopwatch { return &stopwatch{last: time.Now()} }

func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.steps = append(w.steps, Step{Name: name, Took: now.Sub(w.last)})
	w.last = now
}
