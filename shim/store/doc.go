// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package store is the trusted store of one sandbox on its way from a block
// device of the host to a mounted, encrypted file system in the guest: one
// preparation at a time, joined by whoever asks meanwhile, and taken back
// completely when it fails.
//
// The preparation belongs to the sandbox, not to the call that began it: the
// kubelet gives up after two minutes and asks again, and two containers may ask
// at once. It has time limits of its own and ends by itself.
//
// How a virtual machine and a guest are found and spoken to is left to the
// interfaces below; whether a container asks for the store, to package ocispec.
package store

import (
	"context"
	"os"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/shim/hostdev"
)

// VM is the sandbox's virtual machine.
type VM interface {
	// Attach hotplugs dev as a disk with that serial number. The virtual
	// machine gets a duplicate of dev. An attach that fails undoes itself, or
	// Detach does.
	Attach(ctx context.Context, dev *os.File, marker agentproto.Marker) error
	// Detach takes the disk out until nothing of it is left in the virtual
	// machine. A disk that is not there, or a virtual machine that has ended,
	// is a success.
	Detach(ctx context.Context, marker agentproto.Marker) error
	// Ended says whether it is certain that the virtual machine has ended, and
	// everything in it.
	Ended(ctx context.Context) bool
	// End ends it at once, whatever it does (SIGKILL).
	End(ctx context.Context) error
}

// Guest is the guest's agent extension, agentproto/v1/trusted_store.proto. Its
// errors are gRPC statuses where the guest answered, ErrNoAgent where nobody
// serves its port, and anything else where the answer did not come.
type Guest = agentv1.TrustedStoreService

// Finder finds both for a sandbox. The guest needn't have been spoken to.
type Finder interface {
	Find(ctx context.Context, sandboxID string) (VM, Guest, error)
}

// Opener opens the host's block device exclusively, see hostdev.Host.
type Opener interface {
	Open(n hostdev.Number, minimum uint64) (*os.File, error)
}
