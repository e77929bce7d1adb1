// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package agentproto is the contract between the host's shim extension and the
// guest's agent extension: names and numbers that both sides must agree on.
// The calls themselves are in package v1 (agentproto/v1/trusted_store.proto is
// their specification), the way to a guest in package dial.
package agentproto

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	// Port is the vsock port of the guest agent extension. Kata's own agent
	// has 1024, its log stream 1025, its debug console 1026.
	Port uint32 = 1040

	// ProtocolVersion is what VersionResponse.protocol must be.
	ProtocolVersion uint32 = 1

	// ImageStore is the store that `/dev/trusted_store` asks for: the place
	// where the guest unpacks images.
	ImageStore = "trusted_store"

	markerPrefix = "tes-"
	markerDigits = 16
)

// Marker is the serial number by which the guest tells the hotplugged disk
// from all others: "tes-" and 16 lower-case hexadecimal digits. 20 characters,
// because that is all that a virtio-blk serial holds (virtio 1.2, 5.2.6,
// VIRTIO_BLK_T_GET_ID).
type Marker string

// NewMarker invents a marker. Each attach gets its own, so that a disk left
// over from an earlier attempt is never mistaken for the new one.
func NewMarker() Marker {
	b := make([]byte, markerDigits/2)
	// Never fails and never returns short: crypto/rand, Go 1.24.
	_, _ = rand.Read(b)
	return Marker(markerPrefix + hex.EncodeToString(b))
}

// ParseMarker checks that s has the form of a marker.
func ParseMarker(s string) (Marker, error) {
	digits, ok := strings.CutPrefix(s, markerPrefix)
	if !ok || len(digits) != markerDigits || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("marker %.40q is not %q and %d lower-case hexadecimal digits", s, markerPrefix, markerDigits)
	}
	return Marker(s), nil
}
