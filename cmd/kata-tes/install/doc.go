// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package install puts the runtime on a node and takes it out again.
//
// What has to be done is computed from what the node had before anything of ours
// was there (package node), whether or not something of ours is there now. So an
// installation, a second one, one with other handlers and one of a newer version
// are the same computation, of which only the difference to what is there is
// carried out (package journal).
//
// For each chosen handler:
//
//   - containerd starts our shim: runtime_type and runtime_path of the handler,
//     in a drop-in of ours where containerd merges tables (2.x), else in the
//     file that has the handler, of which nothing else is touched.
//   - Kata starts our wrapper in QEMU's place: a drop-in beside the handler's
//     Kata configuration. Where that folder serves other handlers too, the
//     configuration is copied to a folder of its own, and the handler's
//     ConfigPath points there, so that nobody else gets the wrapper.
//   - /etc/kata-tes/config.toml names Kata's own shim and the real QEMU.
//
// All of it is checked before anything is put in place: with the files as they
// will be, the node is looked at again, and must be as before but for that.
package install
