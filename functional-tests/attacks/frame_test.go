// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"math/rand/v2"
	"strings"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
)

var frameTests = tests{
	"call/oversized": hangsUp(append(header10(4<<20, 1, frameRequest), make([]byte, 1024)...)),
	"call/truncated": func(a *attempt) {
		w := a.wire()
		w.send(append(header10(100, 1, frameRequest), make([]byte, 10)...))
		require.NoError(a, w.Close())
		a.state(a.T)
	},
	"call/garbage": func(a *attempt) {
		for _, bytes := range [][]byte{
			[]byte("GET / HTTP/1.1\r\nHost: guest\r\n\r\n"),
			[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
			append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, noise(500)...),
			append([]byte{0xff}, noise(64<<10)...),
		} {
			hangsUp(bytes)(a)
		}
	},
	"call/data-frame": func(a *attempt) {
		hangsUp(header10(0, 1, frameData))(a)
		// For a call that runs and is none of a stream's.
		w := a.wire()
		w.request(1, versionRequest())
		w.frame(1, frameData, []byte("data"))
		w.request(3, versionRequest())
		for {
			// The answer to the first may come first.
			if _, err := w.Read(make([]byte, 256)); err != nil {
				require.True(a, isHungUp(err), "%v", err)
				break
			}
		}
	},
	"call/frame-type": func(a *attempt) {
		for _, kind := range []byte{0, frameResponse, 4, 0x7f, 0xff} {
			hangsUp(header10(0, 1, kind))(a)
		}
	},
	"call/even-stream": func(a *attempt) {
		for _, stream := range []uint32{0, 2, 1<<32 - 2} {
			w := a.wire()
			w.request(stream, versionRequest())
			a.refused(w.answer())
			w.request(1, versionRequest())
			require.NoError(a, w.answer())
		}
	},
	"call/same-stream": func(a *attempt) {
		w := a.wire()
		w.request(1, versionRequest())
		require.NoError(a, w.answer())
		w.request(1, versionRequest())
		a.refused(w.answer())
	},
	"call/request": func(a *attempt) {
		w := a.wire()
		w.frame(1, frameRequest, []byte{0xff, 0xff, 0xff, 0xff})
		a.refused(w.answer())
	},
	"call/payload": func(a *attempt) {
		for _, method := range []string{"Version", "Prepare", "Status", "Release"} {
			w := a.wire()
			w.request(1, &ttrpc.Request{Service: service, Method: method, Payload: []byte{0x0a, 0xff, 0xff}})
			a.refused(w.answer())
		}
	},
	"call/service": func(a *attempt) {
		for _, name := range []string{"", "grpc.AgentService", "grpc.reflection.v1.ServerReflection", service + "2", strings.Repeat("s", 1000)} {
			w := a.wire()
			w.request(1, &ttrpc.Request{Service: name, Method: "Prepare"})
			a.refused(w.answer())
		}
	},
	"call/method": func(a *attempt) {
		for _, name := range []string{"", "prepare", "Prepare\x00", "Shutdown", strings.Repeat("m", 1000)} {
			w := a.wire()
			w.request(1, &ttrpc.Request{Service: service, Method: name})
			a.refused(w.answer())
		}
	},
	"call/metadata": func(a *attempt) {
		w := a.wire()
		r := versionRequest()
		r.Metadata = []*ttrpc.KeyValue{{Key: "key", Value: strings.Repeat("v", 64<<10)}}
		w.request(1, r)
		w.requireHungUp()
		// Much of it within the bound is as good as none.
		r.Metadata = nil
		for range 1000 {
			r.Metadata = append(r.Metadata, &ttrpc.KeyValue{Key: "k", Value: "v"})
		}
		w = a.wire()
		w.request(1, r)
		require.NoError(a, w.answer())
	},
}

func versionRequest() *ttrpc.Request { return &ttrpc.Request{Service: service, Method: "Version"} }

// hangsUp sends bytes that are no frame of ours.
func hangsUp(bytes []byte) func(a *attempt) {
	return func(a *attempt) {
		w := a.wire()
		w.send(bytes)
		w.requireHungUp()
	}
}

// noise is the same each time.
func noise(length int) []byte {
	bytes := make([]byte, length)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range bytes {
		bytes[i] = byte(source.Uint32())
	}
	return bytes
}
