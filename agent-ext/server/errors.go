// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"

	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agent-ext/filesystem"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kinds are what errors mean to the host, the more telling first: a disk that
// did not appear has passed a deadline as well.
var kinds = []struct {
	err  error
	code codes.Code
}{
	{store.ErrDirty, codes.FailedPrecondition},
	{store.ErrOtherMarker, codes.AlreadyExists},
	{store.ErrReleased, codes.Canceled},
	{store.ErrStopping, codes.Canceled},
	{luks.ErrTable, codes.DataLoss},
	{disk.ErrNotFound, codes.NotFound},
	{disk.ErrUnfit, codes.FailedPrecondition},
	{store.ErrGuest, codes.FailedPrecondition},
	{filesystem.ErrMountPoint, codes.FailedPrecondition},
	{filesystem.ErrInUse, codes.FailedPrecondition},
	{luks.ErrInUse, codes.FailedPrecondition},
	{luks.ErrTaken, codes.FailedPrecondition},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},
}

// reasons are what the host is told beside the code.
var reasons = []struct {
	err    error
	reason agentv1.Reason
}{
	{filesystem.ErrMountPoint, agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED},
}

func toStatus(err error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			return withRefusal(status.New(kind.code, err.Error()), err)
		}
	}
	return withRefusal(status.New(codes.Internal, err.Error()), err)
}

// withRefusal adds what there is to say beside the code.
func withRefusal(s *status.Status, err error) error {
	refusal := &agentv1.Refusal{Reason: reason(s.Code(), err)}
	var failed *store.FailedError
	if errors.As(err, &failed) {
		refusal.Steps = steps(failed.Steps)
	}
	if refusal.GetReason() == agentv1.Reason_REASON_UNSPECIFIED && len(refusal.GetSteps()) == 0 {
		return s.Err()
	}
	detailed, impossible := s.WithDetails(refusal)
	if impossible != nil {
		return s.Err() // the code alone says enough
	}
	return detailed.Err()
}

// reason is that of a failed precondition. What could not be undone is about an
// earlier preparation.
func reason(code codes.Code, err error) agentv1.Reason {
	if code != codes.FailedPrecondition || errors.Is(err, store.ErrDirty) {
		return agentv1.Reason_REASON_UNSPECIFIED
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return agentv1.Reason_REASON_UNSPECIFIED
}

// toReleaseStatus: for Release, another marker is a wrong request, and what
// could not be undone is the guest's failure.
func toReleaseStatus(err error) error {
	switch {
	case errors.Is(err, store.ErrDirty):
		return status.Error(codes.Internal, err.Error())
	case errors.Is(err, store.ErrOtherMarker):
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return toStatus(err)
}
