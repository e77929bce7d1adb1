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
	// reason is the metrics' word for it. They are few, and don't change.
	reason string
}{
	{store.ErrNotReady, codes.FailedPrecondition, "not_ready"},
	{store.ErrOtherDevice, codes.AlreadyExists, "other_device"},
	{store.ErrClosed, codes.Unavailable, "sandbox_ends"},
	{store.ErrLate, codes.FailedPrecondition, "late"},
	{store.ErrShared, codes.InvalidArgument, "aliased"},

	{ocispec.ErrMalformed, codes.InvalidArgument, "malformed"},
	{ocispec.ErrNotBlock, codes.InvalidArgument, "not_block"},
	{ocispec.ErrTwice, codes.InvalidArgument, "twice"},
	{ocispec.ErrAliased, codes.InvalidArgument, "aliased"},
	{ocispec.ErrReadOnly, codes.InvalidArgument, "read_only"},
	{ocispec.ErrLookalike, codes.InvalidArgument, "lookalike"},
	{ocispec.ErrNotExact, codes.Internal, "not_exact"},
	{ocispec.ErrChanged, codes.Aborted, "changed"},
	{ErrOnSandbox, codes.InvalidArgument, "on_sandbox"},
	{ErrRelativeBundle, codes.InvalidArgument, "malformed"},

	{hostdev.ErrMissing, codes.NotFound, "missing"},
	{hostdev.ErrReadOnly, codes.FailedPrecondition, "read_only"},
	{hostdev.ErrInUse, codes.FailedPrecondition, "in_use"},
	{hostdev.ErrTooSmall, codes.FailedPrecondition, "too_small"},
	{hostdev.ErrUneven, codes.FailedPrecondition, "uneven"},
	{hostdev.ErrReplaced, codes.Aborted, "changed"},

	{context.DeadlineExceeded, codes.DeadlineExceeded, "deadline"},
	{context.Canceled, codes.Canceled, "canceled"},

	{vcext.ErrNoMonitor, codes.FailedPrecondition, "no_monitor"},
	{vcext.ErrNoController, codes.FailedPrecondition, "no_controller"},
	{vcext.ErrNoGuestAddress, codes.Unavailable, "no_answer"},
	{store.ErrNoAgent, codes.FailedPrecondition, "no_agent"},
	{store.ErrProtocol, codes.FailedPrecondition, "protocol"},
	{store.ErrNoAnswer, codes.Unavailable, "no_answer"},
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
	c, _ := meaning(err)
	return c
}

// reason is the metrics' word for an error. What has none of its own, and what
// the guest refuses, goes by its code.
func reason(err error) string {
	_, word := meaning(err)
	return word
}

func meaning(err error) (codes.Code, string) {
	for _, m := range meanings {
		if errors.Is(err, m.err) {
			return m.code, m.reason
		}
	}
	var guest *store.GuestError
	if errors.As(err, &guest) {
		c := guestCode(guest.Code)
		return c, "guest_" + guestReasons[c]
	}
	return codes.Internal, "internal"
}

var guestReasons = map[codes.Code]string{
	codes.InvalidArgument: "invalid_argument", codes.NotFound: "not_found", codes.AlreadyExists: "already_exists",
	codes.FailedPrecondition: "failed_precondition", codes.DataLoss: "data_loss",
	codes.DeadlineExceeded: "deadline", codes.Canceled: "canceled", codes.Internal: "internal",
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
