// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"testing"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	task3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestRequestAgreesWithTheGeneratedType(t *testing.T) {
	encoded, err := proto.Marshal(&ttrpc.Request{
		Service: "containerd.task.v3.Task", Method: "Create", Payload: []byte("payload"),
		TimeoutNano: int64(3 * time.Second), Metadata: []*ttrpc.KeyValue{{Key: "k", Value: "v"}},
	})
	require.NoError(t, err)
	r, err := parseRequest(encoded)
	require.NoError(t, err)
	require.Equal(t, request{
		service: []byte("containerd.task.v3.Task"), method: []byte("Create"), payload: []byte("payload"), timeout: 3 * time.Second,
	}, r)
	require.True(t, r.isTask(methodCreate))
	require.False(t, r.isTask(methodShutdown))
	require.Equal(t, "v", metadata(encoded, "k"))
	require.Empty(t, metadata(encoded, "K"))
}

// ttrpc gives its callee the first of several values.
func TestMetadata(t *testing.T) {
	encoded, err := proto.Marshal(&ttrpc.Request{Service: "s", Metadata: []*ttrpc.KeyValue{
		{Key: "other", Value: "1"}, {Key: "k"}, {Key: "k", Value: "3"},
	}})
	require.NoError(t, err)
	require.Empty(t, metadata(encoded, "k"))
	require.Equal(t, "1", metadata(encoded, "other"))
	for _, malformed := range []string{"\xff", "\x0a\x05k", "\x08\x01"} {
		pair := protowire.AppendString(protowire.AppendTag(nil, fieldMetadata, protowire.BytesType), malformed)
		require.Empty(t, metadata(append(pair, encoded...), "other"))
	}
}

func TestCreateAgreesWithTheGeneratedTypes(t *testing.T) {
	for _, m := range []proto.Message{
		&task2.CreateTaskRequest{ID: "the-id", Bundle: "/the/bundle", Terminal: true, Stdin: "in"},
		&task3.CreateTaskRequest{ID: "the-id", Bundle: "/the/bundle", Terminal: true, Stdin: "in"},
	} {
		payload, err := proto.Marshal(m)
		require.NoError(t, err)
		id, bundle, err := parseCreate(payload)
		require.NoError(t, err)
		require.Equal(t, "the-id", id)
		require.Equal(t, "/the/bundle", bundle)
	}
}

func TestWhichCallsAreTask(t *testing.T) {
	for service, want := range map[string]bool{
		"containerd.task.v2.Task":                true,
		"containerd.task.v3.Task":                true,
		"containerd.task.v2.task":                false,
		"containerd.task.v20.Task":               false,
		"containerd.runtime.sandbox.v1.Sandbox":  false,
		"containerd.services.images.v1.Images":   false,
		"":                                       false,
		"containerd.task.v2.Task\x00":            false,
		"xcontainerd.task.v3.Task":               false,
		"containerd.task.v3.Task.Create/Create":  false,
		"grpc.health.v1.Health":                  false,
		"containerd.runtime.sandbox.v1.Sandbox2": false,
	} {
		r := request{service: []byte(service), method: []byte("Create")}
		require.Equal(t, want, r.isTask(methodCreate), service)
	}
}

func TestTheLastOfTwoFieldsCounts(t *testing.T) {
	var b []byte
	for _, s := range []string{"other", "containerd.task.v2.Task"} {
		b = protowire.AppendTag(b, fieldService, protowire.BytesType)
		b = protowire.AppendString(b, s)
	}
	b = protowire.AppendTag(b, fieldMethod, protowire.BytesType)
	b = protowire.AppendString(b, "Create")
	r, err := parseRequest(b)
	require.NoError(t, err)
	require.True(t, r.isTask(methodCreate), "as the inner shim will understand it")
}

func TestMalformedRequests(t *testing.T) {
	wrongKind := protowire.AppendVarint(protowire.AppendTag(nil, fieldService, protowire.VarintType), 5)
	for _, b := range [][]byte{{0xff}, {0x0a, 0x05, 'x'}, {0x00, 0x01}, wrongKind} {
		_, err := parseRequest(b)
		require.ErrorIs(t, err, errMalformed, "%x", b)
		_, _, err = parseCreate(b)
		require.ErrorIs(t, err, errMalformed, "%x", b)
	}
}

func TestWithTimeoutChangesNothingElse(t *testing.T) {
	original, err := proto.Marshal(&ttrpc.Request{
		Service: "s", Method: "m", Payload: []byte("p"), TimeoutNano: 1 << 40,
		Metadata: []*ttrpc.KeyValue{{Key: "k", Value: "v"}},
	})
	require.NoError(t, err)
	unknown := protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "from the future")
	original = append(original, unknown...)

	changed, err := withTimeout(original, 77)
	require.NoError(t, err)
	var before, after ttrpc.Request
	require.NoError(t, proto.Unmarshal(original, &before))
	require.NoError(t, proto.Unmarshal(changed, &after))
	require.EqualValues(t, 77, after.TimeoutNano)
	require.Equal(t, unknown, []byte(after.ProtoReflect().GetUnknown()))
	after.TimeoutNano = before.TimeoutNano
	require.True(t, proto.Equal(&before, &after))
}

func FuzzRequest(f *testing.F) {
	seed, err := proto.Marshal(&ttrpc.Request{Service: "containerd.task.v2.Task", Method: "Create", Payload: []byte{0x0a, 1, 'x'}, TimeoutNano: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{0x0a})
	f.Add([]byte("\x0a\x01s\x2a\x06\x0a\x01k\x12\x01v\x2a\x03\x0a\x01k"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRequest(data)
		var real ttrpc.Request
		if err != nil {
			return // refused, whatever the inner shim would think of it
		}
		if proto.Unmarshal(data, &real) != nil {
			return // the inner shim refuses it
		}
		if real.Service != string(r.service) || real.Method != string(r.method) || !bytes.Equal(real.Payload, r.payload) || real.TimeoutNano != int64(r.timeout) {
			t.Fatalf("we read %+v, the inner shim %+v", r, &real)
		}
		values := map[string]string{}
		for _, pair := range real.Metadata {
			if _, more := values[pair.Key]; !more {
				values[pair.Key] = pair.Value
			}
		}
		for key, value := range values {
			if got := metadata(data, key); got != value {
				t.Fatalf("of metadata %q we read %q, the inner shim %q", key, got, value)
			}
		}
		id, bundle, err := parseCreate(r.payload)
		var create task2.CreateTaskRequest
		if err == nil && proto.Unmarshal(r.payload, &create) == nil && (create.ID != id || create.Bundle != bundle) {
			t.Fatalf("we read %q %q, the inner shim %q %q", id, bundle, create.ID, create.Bundle)
		}
		changed, err := withTimeout(data, 42)
		if err != nil {
			t.Fatalf("accepted, but not to be changed: %v", err)
		}
		var after ttrpc.Request
		if err := proto.Unmarshal(changed, &after); err != nil {
			t.Fatalf("changed into nonsense: %v", err)
		}
		after.TimeoutNano = real.TimeoutNano
		if !proto.Equal(&real, &after) {
			t.Fatalf("more than the time limit has changed: %v, %v", &real, &after)
		}
	})
}
