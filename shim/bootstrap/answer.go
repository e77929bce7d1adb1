// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of containerd.runtime.bootstrap.v1.BootstrapResult; a test
// compares them with the generated type.
const (
	fieldResultAddress  = 2
	fieldResultProtocol = 3
)

var (
	// errNoAnswer: Kata's Rust shim exits with 0 and says nothing when its
	// `start` fails.
	errNoAnswer  = errors.New("it printed no address; see containerd's log for its reason")
	errBadAnswer = errors.New("its answer is not understood; name Kata's shim as inner_shim in /etc/kata-tes/config.toml")
	errProtocol  = errors.New("only ttrpc can be forwarded; name a shim that speaks it as inner_shim in /etc/kata-tes/config.toml")
)

// answer is what the inner shim's `start` printed.
type answer struct {
	// address of the inner shim, such as unix:///run/containerd/s/….
	address string
	// with encodes the answer again with another address, all else as it was.
	with func(address string) ([]byte, error)
}

// parseAnswer understands the three forms that containerd does: a plain
// address, JSON (bootstrap parameters of 1.7 and 2.0), protobuf (2.3).
func parseAnswer(stdout []byte) (answer, error) {
	text := bytes.TrimSpace(stdout)
	switch {
	case len(text) == 0:
		return answer{}, errNoAnswer
	case text[0] == '{':
		return parseJSONAnswer(text)
	case bytes.HasPrefix(text, []byte("unix://")) || isPath(text):
		return answer{
			address: string(text),
			with:    func(address string) ([]byte, error) { return []byte(address), nil },
		}, nil
	}
	return parseProtobufAnswer(stdout)
}

// isPath says whether a text can be an abstract socket's name, as containerd
// 1.3 and older used to have.
func isPath(text []byte) bool {
	return text[0] == '/' && utf8.Valid(text) && bytes.IndexFunc(text, func(r rune) bool { return r < ' ' }) < 0
}

func parseJSONAnswer(text []byte) (answer, error) {
	var all map[string]json.RawMessage
	var known struct {
		Address  string `json:"address"`
		Protocol string `json:"protocol"`
	}
	if err := errors.Join(json.Unmarshal(text, &all), json.Unmarshal(text, &known)); err != nil {
		return answer{}, fmt.Errorf("%w: %.200q: %w", errBadAnswer, text, err)
	}
	if err := checkAnswer(known.Address, known.Protocol); err != nil {
		return answer{}, err
	}
	return answer{address: known.Address, with: func(address string) ([]byte, error) {
		encoded, err := json.Marshal(address)
		if err != nil {
			return nil, fmt.Errorf("encoding the address %q: %w", address, err)
		}
		all["address"] = encoded
		return json.Marshal(all)
	}}, nil
}

func parseProtobufAnswer(message []byte) (answer, error) {
	var address, protocol string
	err := eachField(message, func(number protowire.Number, kind protowire.Type, value []byte) {
		switch {
		case kind != protowire.BytesType:
		case number == fieldResultAddress:
			address = string(value)
		case number == fieldResultProtocol:
			protocol = string(value)
		}
	})
	if err != nil {
		return answer{}, fmt.Errorf("%w: %.200q: %w", errBadAnswer, message, err)
	}
	if err := checkAnswer(address, protocol); err != nil {
		return answer{}, err
	}
	return answer{address: address, with: func(address string) ([]byte, error) {
		return replaceField(message, fieldResultAddress, address), nil
	}}, nil
}

// replaceField replaces a string of a message that eachField has accepted, and
// leaves everything else at its place.
func replaceField(message []byte, field protowire.Number, text string) []byte {
	var out []byte
	for len(message) > 0 {
		number, _, n := protowire.ConsumeField(message)
		if number == field {
			out = protowire.AppendTag(out, field, protowire.BytesType)
			out = protowire.AppendString(out, text)
		} else {
			out = append(out, message[:n]...)
		}
		message = message[n:]
	}
	return out
}

func checkAnswer(address, protocol string) error {
	if address == "" {
		return errNoAnswer
	}
	if protocol != "" && protocol != "ttrpc" {
		return fmt.Errorf("it speaks %.50q: %w", protocol, errProtocol)
	}
	if scheme, _, found := strings.Cut(address, "://"); found && scheme != "unix" {
		return fmt.Errorf("it listens at %.200q: %w", address, errProtocol)
	}
	return nil
}
