// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"errors"
	"fmt"
)

var (
	// ErrProtocol says that what came from the socket is not QMP.
	ErrProtocol = errors.New("the monitor does not speak the QEMU machine protocol; check that hypervisor in /etc/kata-tes/config.toml names QEMU")
	// ErrBroken says that the connection failed earlier and must be dialled anew.
	ErrBroken = errors.New("the monitor's connection is broken; delete the pod if this stays")
)

// Class of an error, as QEMU calls it. Everything that QEMU has no class of its
// own for is GenericError.
const (
	ClassGeneric         = "GenericError"
	ClassDeviceNotFound  = "DeviceNotFound"
	ClassCommandNotFound = "CommandNotFound"
)

// Error is QEMU's refusal of a command. The command had no effect, and the
// connection goes on. Every other error of Execute leaves open whether the
// command was carried out.
type Error struct {
	Command string
	Class   string
	// Desc is meant for people; QEMU promises nothing about its wording.
	Desc string
}

func (e *Error) Error() string {
	return fmt.Sprintf("QEMU refused %s: %s", e.Command, e.Desc)
}

// IsClass says whether err is a refusal of that class.
func IsClass(err error, class string) bool {
	var e *Error
	return errors.As(err, &e) && e.Class == class
}
