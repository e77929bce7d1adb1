// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/shim/proxy"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// gcPercent lets the heap of a serving process grow by this much before it is
// collected. It holds next to nothing and allocates next to nothing for a
// call, so that collecting early is cheap and memory is what counts.
const gcPercent = 20

// serve is the serving process.
func (p Program) serve(ctx context.Context, c call) error {
	answers := os.NewFile(readyFD, "ready")
	listener, err := inheritedListener()
	if err != nil || answers == nil {
		return fmt.Errorf("%w; %w", err, errUsage)
	}
	err = p.serveOn(ctx, c, listener, answers)
	if err != nil {
		// Standard error leads nowhere. `start` listens here until we serve.
		_, _ = fmt.Fprint(answers, err)
	}
	return err
}

func (p Program) serveOn(ctx context.Context, c call, listener *net.UnixListener, answers *os.File) (err error) {
	unix.CloseOnExec(readyFD)
	// What ends a sandbox is the end of the inner shim and nothing else.
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	debug.SetGCPercent(gcPercent)

	var h handoff
	if err := json.NewDecoder(p.Stdin).Decode(&h); err != nil {
		return fmt.Errorf("reading what start hands over: %w", err)
	}
	log, err := newLog(c, h.Settings.LogLevel)
	if err != nil {
		return err
	}
	if err := detach(); err != nil {
		return err
	}
	hook, err := p.NewHook(Sandbox{
		ID: c.id, Settings: h.Settings, RunRoot: h.RunRoot, Log: log,
		EndMachine: func(ctx context.Context) error { return killMachine(ctx, c.id) },
	})
	if err != nil {
		return fmt.Errorf("preparing for Create: %w", err)
	}
	defer func() {
		if e := hook.Close(); e != nil {
			log.WithError(e).Warn("closing what watched over Create")
		}
	}()
	server, err := proxy.New(ctx, proxy.Options{
		Inner: h.Record.Inner,
		Hook:  hook,
		Gone:  func() { cleanUp(h, c.id, log) },
		Log:   log,
	})
	if err != nil {
		return err
	}
	if _, err := answers.WriteString(ready); err != nil {
		return errors.Join(fmt.Errorf("telling start that we serve: %w", err), server.Close())
	}
	if err := answers.Close(); err != nil {
		return errors.Join(err, server.Close())
	}
	log.WithField("inner", h.Settings.InnerShim).Debug("serving")
	// What starting up needed is not needed any more.
	debug.FreeOSMemory()
	err = server.Serve(ctx, listener)
	log.WithError(err).Debug("ending")
	return err
}

// cleanUp removes what the sandbox left, as soon as the inner shim has ended.
func cleanUp(h handoff, id string, log *logrus.Entry) {
	if err := errors.Join(h.Record.removeSockets(), rundir.Remove(h.RunRoot, id)); err != nil {
		log.WithError(err).Warn("cleaning up after the sandbox; delete will try again")
	}
}

// inheritedListener is the socket that `start` listens on.
func inheritedListener() (*net.UnixListener, error) {
	file := os.NewFile(listenerFD, "listener")
	if file == nil {
		return nil, errors.New("no listening socket was inherited")
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("no listening socket was inherited: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("closing the inherited descriptor: %w", err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the inherited listening socket is for %s", l.Addr().Network()), l.Close())
	}
	// The file goes with the sandbox: see cleanUp.
	u.SetUnlinkOnClose(false)
	return u, nil
}

// detach leaves the bundle and the pipe from `start`.
func detach() error {
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("leaving the bundle: %w", err)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", os.DevNull, err)
	}
	if err := unix.Dup3(null, 0, 0); err != nil {
		return errors.Join(fmt.Errorf("closing standard input: %w", err), unix.Close(null))
	}
	return unix.Close(null)
}
