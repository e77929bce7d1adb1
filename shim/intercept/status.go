// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/ocispec"
	"github.com/kata-tes/kata-tes/shim/store"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// meanings are the codes of errors that say what went wrong. The first that
// matches counts: a store that isn't ready is a failed precondition for this
// container, whatever the reason is why it isn't.
var meanings = []struct {
	err  error
	code codes.Code
}{
	{store.ErrNotReady, codes.FailedPrecondition},
	{store.ErrOtherDevice, codes.AlreadyExists},
	{store.ErrClosed, codes.Unavailable},

	{ocispec.ErrMalformed, codes.InvalidArgument},
	{ocispec.ErrNotBlock, codes.InvalidArgument},
	{ocispec.ErrTwice, codes.InvalidArgument},
	{ocispec.ErrAliased, codes.InvalidArgument},
	{ocispec.ErrNotExact, codes.Internal},
	{ocispec.ErrChanged, codes.Aborted},
	{ErrOnSandbox, codes.InvalidArgument},
	{ErrRelativeBundle, codes.InvalidArgument},

	{hostdev.ErrMissing, codes.NotFound},
	{hostdev.ErrReadOnly, codes.FailedPrecondition},
	{hostdev.ErrInUse, codes.FailedPrecondition},
	{hostdev.ErrTooSmall, codes.FailedPrecondition},
	{hostdev.ErrUneven, codes.FailedPrecondition},
	{hostdev.ErrReplaced, codes.Aborted},

	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},

	{vcext.ErrNoMonitor, codes.FailedPrecondition},
	{vcext.ErrNoController, codes.FailedPrecondition},
	{vcext.ErrNoGuestAddress, codes.Unavailable},
	{store.ErrNoAgent, codes.FailedPrecondition},
	{store.ErrProtocol, codes.FailedPrecondition},
	{store.ErrNoAnswer, codes.Unavailable},
}

// toStatus is the edge: from here on errors are gRPC statuses, of which
// containerd passes the message on to the kubelet and so to the user.
func toStatus(err error) error {
	return status.Error(code(err), printable(err.Error()))
}

// printable makes one line of a message, which may have a guest's words in it
// and ends up in somebody's terminal.
func printable(message string) string {
	message = strings.Join(strings.FieldsFunc(message, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, message)
}

func code(err error) codes.Code {
	for _, m := range meanings {
		if errors.Is(err, m.err) {
			return m.code
		}
	}
	var guest *store.GuestError
	if errors.As(err, &guest) {
		return guestCode(guest.Code)
	}
	return codes.Internal
}

// guestCode passes on the codes that trusted_store.proto lists. Any other would
// tell containerd something about Create that the guest has no say in.
func guestCode(c codes.Code) codes.Code {
	switch c {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.DataLoss, codes.DeadlineExceeded, codes.Canceled:
		return c
	}
	return codes.Internal
}
