// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
)

// maxGuestMessage bounds what a guest can put into our errors and logs, in
// characters.
const maxGuestMessage = 4000

// GuestError is a refusal by the guest's agent extension.
type GuestError struct {
	// Doing is what the guest was asked for.
	Doing string
	Code  codes.Code
	// Message is the guest's.
	Message string
	// Reason is what the guest says beside the code, if it says anything.
	Reason agentv1.Reason
	// Steps are those that the guest says it has begun; the last one failed.
	Steps []*agentv1.Step
	// Before says which containers came before the store; empty where none did.
	Before string
}

func (e *GuestError) Error() string {
	message := fmt.Sprintf("%s in the guest: %.*s", e.Doing, maxGuestMessage, e.Message)
	if remedy := e.remedy(); remedy != "" {
		message += "; " + remedy
	}
	return message
}

// remedy says what a person can do.
func (e *GuestError) remedy() string {
	switch {
	case e.Code == codes.FailedPrecondition && e.Reason == agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED:
		// An image that is there already: no other volume would help.
		return cmp.Or(e.Before, "something in the guest uses the place of the trusted store already; delete the pod and create it again")
	case e.Code == codes.FailedPrecondition && e.Before != "":
		// A guest of another release may mean the same and not say so.
		return remedies[e.Code] + "; besides, " + e.Before
	}
	return cmp.Or(remedies[e.Code], remedies[codes.Internal])
}

// Is makes the guest's deadline, which is ours, a context.DeadlineExceeded: it
// is chance which side notices first.
func (e *GuestError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded
}

// remedies say what a person can do, by the codes that trusted_store.proto
// lists for Prepare.
var remedies = map[codes.Code]string{
	codes.InvalidArgument:    "use a guest image whose /etc/kata-tes/agent.toml fits this node's kata-tes",
	codes.NotFound:           "check that the guest's kernel has virtio-scsi (or virtio-blk) and hotplug",
	codes.AlreadyExists:      "delete the pod and create it again",
	codes.FailedPrecondition: "if this is about the disk and a retry does not help, delete the pod and create it again on another volume",
	codes.Canceled:           "the next attempt to start the container begins anew",
	codes.DataLoss:           "somebody interfered with the encrypted disk: do not trust this node before you know who",
	codes.Internal:           "see the guest's console or journal for kata-tes-agent",
	codes.DeadlineExceeded:   "if guest and node are only slow, raise the limit under timeouts in /etc/kata-tes/config.toml",
}

// checkVersion refuses a guest that speaks another protocol.
func checkVersion(v *agentv1.VersionResponse) error {
	if v.GetProtocol() != agentproto.ProtocolVersion {
		return fmt.Errorf("%w: kata-tes-agent %.40q speaks protocol %d and this node speaks %d; use a guest image and a kata-tes of the same release",
			ErrProtocol, v.GetAgent(), v.GetProtocol(), agentproto.ProtocolVersion)
	}
	return nil
}

// explainSilence says why the first call to the guest failed.
func explainSilence(err error) error {
	answer, answered := status.FromError(err)
	switch {
	case errors.Is(err, ErrNoAgent):
		return fmt.Errorf("%w; use a guest image with kata-tes-agent (docs/install.md); if it has one, the guest's console says why it does not run", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), !answered:
		return fmt.Errorf("%w on vsock port %d; check that the guest has virtio-vsock and that kata-tes-agent runs in it: %w", ErrNoAnswer, agentproto.Port, err)
	case answer.Code() == codes.Unimplemented:
		return fmt.Errorf("%w: what answers on port %d does not know the trusted store; use a guest image with the kata-tes-agent of this release", ErrProtocol, agentproto.Port)
	}
	return explainAnswer("asking for the version", err)
}

// explainAnswer tells the guest's refusal from an answer that did not come.
func explainAnswer(doing string, err error) error {
	answer, answered := status.FromError(err)
	if !answered {
		return fmt.Errorf("%s in the guest: %w; see the guest's console for it if this stays: %w", doing, ErrNoAnswer, err)
	}
	refused := &GuestError{Doing: doing, Code: answer.Code(), Message: answer.Message()}
	for _, detail := range answer.Details() {
		if refusal, ok := detail.(*agentv1.Refusal); ok {
			refused.Reason, refused.Steps = refusal.GetReason(), refusal.GetSteps()
		}
	}
	return refused
}

// release takes the store back in the guest. A guest that knows no such store,
// or no stores at all, has nothing to release.
func release(ctx context.Context, guest Guest, marker agentproto.Marker) error {
	_, err := guest.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: string(marker)})
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.Unimplemented:
		return nil
	}
	return explainAnswer("releasing the store", err)
}
