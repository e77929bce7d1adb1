// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// readyLimit bounds a service's start and end on an emulated cpu.
const readyLimit = time.Minute

// service is a program of the node that tests start and end. What it says is in
// a file in Logs.
type service struct {
	name  string
	log   *os.File
	cmd   *exec.Cmd
	ended chan struct{}
}

func newService(name string) (*service, error) {
	if err := os.MkdirAll(Logs, 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(Logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &service{name: name, log: log}, nil
}

// start starts it, the first time or again, and asks until it is ready.
func (s *service) start(cmd *exec.Cmd, ready func(context.Context) error) error {
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		// Its exit status is in its log; that it ended is what counts.
		_ = cmd.Wait()
		close(ended)
	}()
	s.cmd, s.ended = cmd, ended
	return s.awaitReady(ready)
}

func (s *service) awaitReady(ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended at once; %s has the reason", s.name, s.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w", s.name, readyLimit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// httpOK says whether a service answers as it should.
func httpOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}

// signal ends it by that signal.
func (s *service) signal(signal unix.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", signal, s.name, err)
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(readyLimit):
		return fmt.Errorf("%s did not end within %v of %v", s.name, readyLimit, signal)
	}
}

// end ends it as systemd does, or by SIGKILL.
func (s *service) end(kill bool) error {
	if kill {
		return s.signal(unix.SIGKILL)
	}
	return s.signal(unix.SIGTERM)
}

// close ends it, whatever that takes.
func (s *service) close() error {
	var err error
	if s.cmd != nil {
		if err = s.end(false); err != nil {
			err = errors.Join(err, s.end(true))
		}
	}
	return errors.Join(err, s.log.Close())
}
