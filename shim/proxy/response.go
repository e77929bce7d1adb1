// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// fieldStatus is the number of ttrpc's Response.status.
const fieldStatus = 1

// maxMessage bounds the text of an error, in bytes: an answer must fit a frame.
const maxMessage = 64 << 10

// failure is the frame that answers a call with an error.
func failure(stream uint32, reason error) ([]byte, error) {
	st := statusOf(reason)
	if len(st.Message()) > maxMessage {
		st = status.New(st.Code(), st.Message()[:maxMessage]+" (cut)")
	}
	if !utf8.ValidString(st.Message()) {
		// Protobuf refuses it, and a call without an answer hangs.
		valid := st.Proto()
		valid.Message = strings.ToValidUTF8(valid.GetMessage(), "\uFFFD")
		st = status.FromProto(valid)
	}
	encoded, err := proto.Marshal(st.Proto())
	if err == nil && len(encoded) > maxData/2 {
		// Details beyond reason: the code and the text matter more.
		encoded, err = proto.Marshal(status.New(st.Code(), st.Message()).Proto())
	}
	if err != nil {
		return nil, fmt.Errorf("encoding the status %q: %w", st.Message(), err)
	}
	data := protowire.AppendTag(nil, fieldStatus, protowire.BytesType)
	data = protowire.AppendBytes(data, encoded)
	return response(stream, data), nil
}

// statusOf prefers a status that the error carries over a code for the kind of
// error. An error without either is Unknown; it never becomes OK.
func statusOf(err error) *status.Status {
	st, ok := status.FromError(err)
	if !ok {
		st, _ = status.FromError(errgrpc.ToGRPC(err))
	}
	if st.Code() == codes.OK {
		return status.New(codes.Unknown, err.Error())
	}
	return st
}

// success is the frame that answers a call with an empty message.
func success(stream uint32) []byte {
	return response(stream, nil)
}

func response(stream uint32, data []byte) []byte {
	h := header{length: uint32(len(data)), stream: stream, kind: typeResponse}
	return append(h.append(make([]byte, 0, headerSize+len(data))), data...)
}

// errOversized is ttrpc's own answer to a request above its limit.
func errOversized(length uint32) error {
	return status.Errorf(codes.ResourceExhausted, "message length %d exceed maximum message size of %d", length, maxData)
}

// unavailable says that the inner shim did not answer a call.
func unavailable(err error) error {
	if err == nil {
		err = errors.New("connection closed")
	}
	return status.Errorf(codes.Unavailable, "the inner shim did not answer (see containerd's log for what Kata's shim said): %v", err)
}
