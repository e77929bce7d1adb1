// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of Request.metadata and of ttrpc's KeyValue.
const (
	fieldMetadata = 5

	fieldKey   = 1
	fieldValue = 2
)

// metadata is the first value that a request has for a key, which is the one
// that ttrpc gives to its callee; empty where there is none. What is malformed
// has none: it is for the inner shim to refuse.
func metadata(data []byte, key string) string {
	var found *string
	err := fields(data, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != fieldMetadata || kind != protowire.BytesType || found != nil {
			return nil
		}
		pair, _ := protowire.ConsumeBytes(value)
		name, text, err := keyValue(pair)
		if err == nil && name == key {
			found = &text
		}
		return err
	})
	if err != nil || found == nil {
		return ""
	}
	return *found
}

// keyValue decodes ttrpc's message of that name.
func keyValue(pair []byte) (key, value string, err error) {
	err = fields(pair, func(number protowire.Number, kind protowire.Type, encoded []byte) error {
		if number != fieldKey && number != fieldValue {
			return nil
		}
		if kind != protowire.BytesType {
			return fmt.Errorf("%w: field %d has wire type %d", errMalformed, number, kind)
		}
		text, _ := protowire.ConsumeBytes(encoded)
		if number == fieldKey {
			key = string(text)
		} else {
			value = string(text)
		}
		return nil
	})
	return key, value, err
}
