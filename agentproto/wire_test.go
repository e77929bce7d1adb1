// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package agentproto

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
)

// TestWire has the messages as the first release sent them. These bytes never
// change: another number or type of a field would be another contract.
func TestWire(t *testing.T) {
	for _, c := range []struct {
		sent string
		want proto.Message
	}{
		{"", &agentv1.VersionRequest{}},
		{"08011205312e322e33", &agentv1.VersionResponse{Protocol: 1, Agent: "1.2.3"}},
		{"0a0173120174", &agentv1.PrepareRequest{Store: "s", Marker: "t"}},
		{"0a016d12022f6112022f62188080802022070a016612021001", &agentv1.PrepareResponse{
			Mapping: "m", MountPoints: []string{"/a", "/b"}, SizeBytes: 64 << 20,
			Steps: []*agentv1.Step{{Name: "f", Took: durationpb.New(time.Nanosecond)}},
		}},
		{"0801", &agentv1.Refusal{Reason: agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED}},
		{"0a0173", &agentv1.StatusRequest{Store: "s"}},
		{"0803120174180120022a017230033804", &agentv1.StatusResponse{
			State: agentv1.State_STATE_READY, Marker: "t", SizeBytes: 1, UsedBytes: 2, Reason: "r",
			DiskRequestsWaiting: 3, DiskRequestsAnswered: 4,
		}},
		{"0a0173120174", &agentv1.ReleaseRequest{Store: "s", Marker: "t"}},
		{"", &agentv1.ReleaseResponse{}},
	} {
		sent, err := hex.DecodeString(c.sent)
		require.NoError(t, err, "%T", c.want)
		got := c.want.ProtoReflect().New().Interface()
		require.NoError(t, proto.Unmarshal(sent, got), "%T", c.want)
		require.True(t, proto.Equal(c.want, got), "%T: %v", c.want, got)
	}
}
