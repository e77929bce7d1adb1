// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotReady says that a container must wait for the store.
	ErrNotReady = errors.New("this pod's trusted store is not ready, so no other container of the pod is started")
	// ErrPreparing says that the caller's time was up before the store's.
	ErrPreparing = errors.New("the trusted store is still being prepared")
	// ErrOtherDevice says that the sandbox has its store on another device.
	ErrOtherDevice = errors.New("this pod's trusted store is on another device already")
	// ErrLeftover says that a failed attempt could not be undone.
	ErrLeftover = errors.New("a failed attempt could not be undone")
	// ErrDisagrees says that the guest knows the store otherwise than we do.
	ErrDisagrees = errors.New("the guest does not have this store")
	// ErrClosed says that the sandbox is ending.
	ErrClosed = errors.New("the sandbox is being shut down; if the pod is still wanted, the kubelet makes another")

	// ErrNoAgent says that nobody serves the agent extension's port in the guest.
	ErrNoAgent = errors.New("the guest image has no kata-tes-agent, or it does not run")
	// ErrNoAnswer says that the guest didn't answer in time.
	ErrNoAnswer = errors.New("the guest's kata-tes-agent does not answer")
	// ErrProtocol says that host and guest don't understand each other.
	ErrProtocol = errors.New("the guest's kata-tes-agent does not fit this node's kata-tes")
)

// TimeoutError says that a step did not end within its limit.
type TimeoutError struct {
	// Step is what did not end.
	Step string
	// Key is the limit's name in the configuration's table of timeouts.
	Key   string
	Limit time.Duration
	// Err is what the step said when its time was up.
	Err error
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("step %q did not end within %s (raise %q under timeouts in /etc/kata-tes/config.toml if the node is only slow): %v", e.Step, e.Limit, e.Key, e.Err)
}

func (e *TimeoutError) Unwrap() error { return e.Err }

// Is makes it a context.DeadlineExceeded even where the step has hidden that
// under an error of its own.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
