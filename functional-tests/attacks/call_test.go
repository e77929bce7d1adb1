// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"fmt"
	"net"
	"sync"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/dial"
)

// maxConnections at a time are what the guest serves (agent-ext/server).
const maxConnections = 16

var callTests = tests{
	"call/flood":     flood,
	"call/half-open": halfOpen,
	"call/calls":     calls,
}

// flood opens connections from many sides at once. (requireClean sees that the
// guest serves again, and lets go of them all.)
func flood(a *attempt) {
	const many, sides = 400, 8
	before := a.memory()
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	for range sides {
		all.Go(func() {
			for range many / sides {
				conn, err := dial.Dial(a.Context(), a.sandbox.AgentURL(), agentproto.Port)
				if err != nil {
					continue // the kernel's queue is full: as good as hung up on
				}
				mu.Lock()
				open = append(open, conn)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	a.Logf("%d of %d connections came to be", len(open), many)
	require.Greater(a, len(open), maxConnections, "no flood")
	require.LessOrEqual(a, a.openFiles(a.T), a.rest+maxConnections+sides)
	require.Less(a, a.memory(), before+16*mib)
	for _, conn := range open {
		_ = conn.Close()
	}
}

// memory is what the agent extension has in use, in bytes.
func (a *attempt) memory() (bytes int64) {
	a.Helper()
	_, err := fmt.Sscanf(a.sh("grep VmRSS: /proc/"+a.agent+"/status"), "VmRSS: %d kB", &bytes)
	require.NoError(a, err)
	return bytes << 10
}

func halfOpen(a *attempt) {
	for range maxConnections {
		a.wire().send(header10(100, 1, frameRequest)[:5])
	}
	_, err := a.status(a.Context())
	require.Error(a, err, "one more than are served")
}

func calls(a *attempt) {
	// Who has still more unanswered is hung up on (server.TestUnansweredRequests).
	const many = 24
	w := a.wire()
	request := a.prepareRequest(agentproto.NewMarker())
	for i := range uint32(many) {
		w.request(2*i+1, request)
	}
	worked, refused := 0, 0
	for range many {
		err := w.answer()
		if codeOf(err) == codes.NotFound {
			worked++
			continue
		}
		if refused == 0 {
			a.refused(err)
		}
		require.Equal(a, codes.ResourceExhausted, codeOf(err))
		refused++
	}
	a.Logf("%d were worked on, %d refused", worked, refused)
	require.Positive(a, worked)
	require.LessOrEqual(a, worked, maxConnections)
}
