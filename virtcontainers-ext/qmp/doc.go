// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package qmp speaks the QEMU Machine Protocol over a monitor's unix socket:
// one command at a time, each in bounded time, descriptors included.
// Which commands to send, and what to make of the answers, is left to callers.
//
// Kata's own pkg/govmm/qemu does most of this, but not what we need, and a
// connection of it can't be mixed with one of ours: its reader owns the socket
// from the greeting on, and its method for commands of one's own is not
// exported. What is missing there:
//   - add-fd with a descriptor (only getfd takes one), remove-fd, query-fdsets,
//     query-named-block-nodes, qom-list;
//   - a serial number for device_add, a node name for the protocol layer;
//   - QEMU's error class: errors come as text;
//   - ids: an answer that comes late is taken for the next command's.
//
// It also draws in Kata's device configuration and with it go-openapi,
// mongo-driver, CDI and procfs. There is one process of ours for every pod, and
// their initialisation would cost it more memory than all of our own code.
//
// References: QEMU's docs/interop/qmp-spec and qemu-qmp-ref.
package qmp
