// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers; a test compares them with the generated types.
const (
	// google.protobuf.Any
	fieldTypeURL  = 1
	fieldAnyValue = 2
	// containerd.runtime.bootstrap.v1.BootstrapParams and its Extension
	fieldLogLevel       = 3
	fieldExtensions     = 8
	fieldExtensionValue = 1
	// runtimeoptions.v1.Options
	fieldConfigPath = 2
)

// kataOptions ends the type URL of the options that CRI passes to a runtime
// that is not runc's.
const kataOptions = "runtimeoptions.v1.Options"

var errOptions = errors.New("malformed runtime options on standard input; correct the handler's options in containerd's configuration")

// configPath is the runtime option ConfigPath from what containerd writes to
// the standard input of `start` and -info: nothing, a google.protobuf.Any with
// the options (1.x, and -info of 2.x), or BootstrapParams with the Any among
// its extensions (`start` from 2.3 on). Empty where containerd names none.
func configPath(input []byte) (_ string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %w", errOptions, err)
		}
	}()
	params := false
	var options [][]byte
	err = eachField(input, func(number protowire.Number, kind protowire.Type, value []byte) {
		// An Any ends at field 2; BootstrapParams always has the version of
		// containerd, field 4.
		params = params || number >= fieldLogLevel
		if number == fieldExtensions && kind == protowire.BytesType {
			options = append(options, value)
		}
	})
	if err != nil {
		return "", err
	}
	if !params {
		return optionsConfigPath(input)
	}
	for _, extension := range options {
		path, err := "", error(nil)
		parse := eachField(extension, func(number protowire.Number, kind protowire.Type, value []byte) {
			if number == fieldExtensionValue && kind == protowire.BytesType && err == nil {
				path, err = optionsConfigPath(value)
			}
		})
		if err := errors.Join(parse, err); err != nil {
			return "", err
		}
		if path != "" {
			return path, nil
		}
	}
	return "", nil
}

// optionsConfigPath looks into a google.protobuf.Any.
func optionsConfigPath(message []byte) (string, error) {
	var url, value []byte
	err := eachField(message, func(number protowire.Number, kind protowire.Type, content []byte) {
		switch {
		case kind != protowire.BytesType:
		case number == fieldTypeURL:
			url = content
		case number == fieldAnyValue:
			value = content
		}
	})
	if err != nil || !strings.HasSuffix(string(url), kataOptions) {
		return "", err
	}
	path := ""
	err = eachField(value, func(number protowire.Number, kind protowire.Type, content []byte) {
		if number == fieldConfigPath && kind == protowire.BytesType {
			path = string(content)
		}
	})
	return path, err
}

// eachField calls do for each field of a message, with the content of
// length-delimited ones.
func eachField(message []byte, do func(number protowire.Number, kind protowire.Type, value []byte)) error {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return fmt.Errorf("malformed protobuf message: %w", protowire.ParseError(tag))
		}
		n := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if n < 0 {
			return fmt.Errorf("malformed protobuf message: %w", protowire.ParseError(n))
		}
		value := message[tag : tag+n]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		do(number, kind, value)
		message = message[tag+n:]
	}
	return nil
}
