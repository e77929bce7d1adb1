// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of ttrpc's Request (request.proto) and of containerd's
// CreateTaskRequest and KillRequest, the same in task v2 and v3; a test compares them with the
// generated types. Decoding these by hand spares the serving process the whole
// of containerd's API types.
const (
	fieldService = 1
	fieldMethod  = 2
	fieldPayload = 3
	fieldTimeout = 4

	fieldCreateID     = 1
	fieldCreateBundle = 2

	fieldKillExec   = 2
	fieldKillSignal = 3
)

const (
	methodCreate   = "Create"
	methodKill     = "Kill"
	methodShutdown = "Shutdown"
)

var errMalformed = errors.New("malformed protobuf message")

// request is what is looked at of a ttrpc Request. The slices point into the
// frame.
type request struct {
	service, method, payload []byte
	timeout                  time.Duration
}

// isTask says whether the request goes to containerd's Task service. The
// conversions don't allocate.
func (r *request) isTask(method string) bool {
	if string(r.method) != method {
		return false
	}
	return string(r.service) == "containerd.task.v2.Task" || string(r.service) == "containerd.task.v3.Task"
}

// parseRequest decodes the data of a request frame. Of a field that comes
// twice the last one counts, as for every protobuf decoder.
func parseRequest(data []byte) (r request, err error) {
	err = fields(data, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number == fieldTimeout && kind == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(value)
			r.timeout = time.Duration(v)
			return nil
		}
		var to *[]byte
		switch number {
		case fieldService:
			to = &r.service
		case fieldMethod:
			to = &r.method
		case fieldPayload:
			to = &r.payload
		case fieldTimeout:
		default:
			return nil
		}
		if to == nil || kind != protowire.BytesType {
			return fmt.Errorf("%w: field %d has wire type %d", errMalformed, number, kind)
		}
		*to, _ = protowire.ConsumeBytes(value)
		return nil
	})
	return r, err
}

// parseCreate decodes what the hook must know of a CreateTaskRequest.
func parseCreate(payload []byte) (id, bundle string, err error) {
	err = fields(payload, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != fieldCreateID && number != fieldCreateBundle {
			return nil
		}
		if kind != protowire.BytesType {
			return fmt.Errorf("%w: field %d has wire type %d", errMalformed, number, kind)
		}
		text, _ := protowire.ConsumeBytes(value)
		if number == fieldCreateID {
			id = string(text)
		} else {
			bundle = string(text)
		}
		return nil
	})
	return id, bundle, err
}

// isSIGKILL says whether a KillRequest's payload is a SIGKILL for a container, and
// not only for a process that was executed in it. What is malformed is none: the
// inner shim says so.
func isSIGKILL(payload []byte) bool {
	var signal uint64
	exec := false
	err := fields(payload, func(number protowire.Number, kind protowire.Type, value []byte) error {
		switch {
		case number == fieldKillSignal && kind == protowire.VarintType:
			signal, _ = protowire.ConsumeVarint(value)
		case number == fieldKillExec && kind == protowire.BytesType:
			id, _ := protowire.ConsumeBytes(value)
			exec = len(id) > 0
		}
		return nil
	})
	// Of a number that is too large every decoder takes the lower half.
	return err == nil && !exec && uint32(signal) == uint32(syscall.SIGKILL)
}

// withTimeout is a request with another time limit and otherwise the same
// bytes in the same order, unknown fields included.
func withTimeout(data []byte, timeout time.Duration) ([]byte, error) {
	out := make([]byte, 0, len(data)+protowire.SizeVarint(uint64(timeout)))
	for len(data) > 0 {
		number, _, n := protowire.ConsumeField(data)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		if number == fieldTimeout {
			out = protowire.AppendTag(out, fieldTimeout, protowire.VarintType)
			out = protowire.AppendVarint(out, uint64(timeout))
		} else {
			out = append(out, data[:n]...)
		}
		data = data[n:]
	}
	return out, nil
}

// fields calls do for each field of a message. value still has the length of a
// length-delimited field before it.
func fields(data []byte, do func(number protowire.Number, kind protowire.Type, value []byte) error) error {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(tag))
		}
		n := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if n < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		if err := do(number, kind, data[tag:tag+n]); err != nil {
			return err
		}
		data = data[tag+n:]
	}
	return nil
}
