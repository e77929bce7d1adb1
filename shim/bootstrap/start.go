// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/proxy"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// undoTimeout bounds what a failed `start` takes back.
const undoTimeout = 10 * time.Second

var (
	// errLost: our process is not there and its memory of the store neither.
	errLost = errors.New("unavailable: the kata-tes process of this pod was killed, and no container may join a pod whose trusted store nobody knows; delete the pod")
	// errNoInner: no process behind the address that the inner shim printed.
	errNoInner = errors.New("unavailable: nobody answers there; the sandbox's inner shim has ended, delete the pod")
)

// starting is a `start` in the making.
type starting struct {
	Program
	call
	bundle     string
	input      []byte
	settings   config.Settings
	configPath string
	inner      answer
	record     record
	undo       undo
}

// start runs the inner shim's `start`, sees to a serving process before it,
// and prints that one's address.
func (p Program) start(ctx context.Context, c call) error {
	s := &starting{Program: p, call: c}
	err := s.prepare()
	if err == nil {
		err = s.startInner(ctx)
	}
	if err == nil {
		err = s.joinOrServe(ctx)
	}
	if err == nil {
		err = s.answer()
	}
	if err != nil {
		return s.undo.run(err)
	}
	return nil
}

// prepare gathers what is known before anything is started.
func (s *starting) prepare() error {
	var err error
	if s.bundle, err = workingFolder(); err != nil {
		return err
	}
	if s.input, err = s.readInput(); err != nil {
		return err
	}
	if s.settings, s.configPath, err = s.Program.settings(s.input); err != nil {
		return err
	}
	// Before the inner shim starts: whatever happens then, `delete` knows
	// which one it was.
	s.record.InnerShim = s.settings.InnerShim
	s.undo.add(func() error { return removeIfThere(filepath.Join(s.bundle, recordFile)) })
	return s.record.write(s.bundle)
}

func (s *starting) startInner(ctx context.Context) error {
	err := runInner(ctx, s.settings.InnerShim, s.args, s.input, func(stdout []byte) (err error) {
		s.inner, err = parseAnswer(stdout)
		return err
	})
	if err != nil {
		// It may have come half the way.
		s.undo.add(func() error { return s.endInner("") })
		return err
	}
	s.record.Inner = s.inner.address
	s.record.Outer = outerAddress(s.inner.address)
	return nil
}

// joinOrServe finds the serving process of the sandbox, or starts it when the
// sandbox is a new one.
func (s *starting) joinOrServe(ctx context.Context) error {
	if listens(ctx, s.record.Outer) && listens(ctx, s.inner.address) {
		return nil
	}
	old, err := socketFileOf(s.record.Outer)
	if err != nil {
		return err
	}
	// A socket without a process: ours was killed. Unless what it left is
	// this very container's, which containerd then starts anew.
	if old != nil && !s.ours(s.id) {
		return fmt.Errorf("joining the pod's processes: %w", errLost)
	}
	if !listens(ctx, s.inner.address) {
		s.undo.add(func() error { return s.endInner(s.inner.address) })
		return fmt.Errorf("connecting to the inner shim at %s: %w", s.inner.address, errNoInner)
	}
	s.record.Sandbox = true
	s.undo.add(func() error { return s.endInner(s.inner.address) })
	return s.serveNew(ctx, old)
}

// serveNew starts the serving process of a new sandbox.
func (s *starting) serveNew(ctx context.Context, old *socketFile) error {
	s.undo.add(func() error { return rundir.Remove(s.RunRoot, s.id) })
	if err := rundir.Create(s.RunRoot, s.id, rundir.Sandbox{
		Hypervisor: s.settings.Hypervisor,
		InnerShim:  s.settings.InnerShim,
		ConfigPath: s.configPath,
	}); err != nil {
		return err
	}
	if err := old.remove(); err != nil {
		return err
	}
	listener, err := listen(s.record.Outer)
	if err != nil {
		return err
	}
	err = s.serveOn(ctx, listener)
	// The serving process has its own descriptor.
	return errors.Join(err, listener.Close())
}

func (s *starting) serveOn(ctx context.Context, listener *net.UnixListener) error {
	for _, address := range []string{s.record.Outer, s.inner.address} {
		file, err := socketFileOf(address)
		if err != nil {
			return err
		}
		if file != nil {
			s.record.Sockets = append(s.record.Sockets, file)
		}
	}
	s.undo.add(s.record.removeSockets)

	process, err := launch(ctx, s.call, s.bundle, listener, handoff{
		Settings: s.settings,
		RunRoot:  s.RunRoot,
		Record:   s.record,
	})
	if err != nil {
		return fmt.Errorf("starting the serving process: %w", err)
	}
	s.undo.add(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
		defer cancel()
		return end(ctx, process, 0)
	})
	return nil
}

// answer leaves what others look for in the bundle and prints the answer.
func (s *starting) answer() error {
	if err := s.record.write(s.bundle); err != nil {
		return err
	}
	// containerd 1.x finds the shim again by this file after a restart. The
	// inner shim wrote its own address into it.
	if err := replaceFile(filepath.Join(s.bundle, "address"), []byte(s.record.Outer)); err != nil {
		return err
	}
	out, err := s.inner.with(s.record.Outer)
	if err != nil {
		return err
	}
	_, err = s.Stdout.Write(out)
	return err
}

// endInner takes a `start` of the inner shim back: its process, which its
// address or shim.pid tell, and then what `delete` finds to clean up. On a
// container that would have joined a pod there is neither a process of its own
// nor anything to delete, and it is not called.
func (s *starting) endInner(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	_, err := os.Stat(filepath.Join(s.bundle, "shim.pid"))
	if err != nil && !s.record.Sandbox {
		return nil //nolint:nilerr // nothing was started for this container
	}
	err = errors.Join(
		killListeners(ctx, address, 0),
		killByPidFile(ctx, s.bundle, s.settings.InnerShim),
	)
	// Its complaints are about a container that was never created.
	_ = runInner(ctx, s.settings.InnerShim, s.deleteArgs(s.bundle), nil, func([]byte) error { return nil })
	file, fileErr := socketFileOf(address)
	if address == "" || proxyAbstract(address) {
		return err
	}
	return errors.Join(err, fileErr, file.remove())
}

func proxyAbstract(address string) bool {
	_, abstract := proxy.SocketName(address)
	return abstract
}
