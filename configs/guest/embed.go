// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package guest has the files that go into a guest image beside the agent
// extension's program, so that kata-tes needs nothing but itself to put them
// there.
package guest

import _ "embed" // the files

// Unit is systemd's unit of the agent extension.
//
//go:embed kata-tes-agent.service
var Unit []byte

// Configuration is agent.toml with the defaults written out.
//
//go:embed agent.toml
var Configuration []byte
