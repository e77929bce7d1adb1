// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package config is /etc/kata-tes/config.toml: what a node's operator may say
// about the inner shim, the real hypervisor, the device path and time limits,
// for all sandboxes ([defaults]) and for those of one Kata configuration file
// ([[runtime]], chosen by the runtime option ConfigPath).
//
// The file is optional: without it everything fits an installation by
// kata-deploy. What is written is taken at its word: an unknown key, a value
// that makes no sense or a program that is not there is an error which names
// the file, the key and the remedy. Only what is not written is guessed.
//
//	[defaults]
//	inner_shim = "/opt/kata/bin/containerd-shim-kata-v2"
//	hypervisor = "/opt/kata/bin/qemu-system-x86_64"
//	device_path = "/dev/trusted_store"
//	minimum_size = "64MiB"
//	late_store = "warn"
//	log_level = "info"
//	traces = false
//	[defaults.timeouts]
//	find = "10s"
//	attach = "10s"
//	prepare = "45s"
//	undo = "15s"
//
//	[[runtime]]
//	config_path = "/opt/kata/share/defaults/kata-containers/configuration-qemu-tdx.toml"
//	hypervisor = "/opt/kata/bin/qemu-system-x86_64-tdx-experimental"
package config

const (
	// DefaultPath is where the file is expected.
	DefaultPath = "/etc/kata-tes/config.toml"
	// DefaultDevicePath is the path of the proposal.
	DefaultDevicePath = "/dev/trusted_store"
	// PathVariable is the environment variable that names another file. It is
	// for tests and for nodes whose /etc cannot be written to; a file that it
	// names must exist.
	PathVariable = "KATA_TES_CONFIG"
)
