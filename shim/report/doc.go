// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package report is how a serving process tells an operator what became of its
// sandbox's store: one JSON document for each connection to a socket of mode
// 0600 in the sandbox's folder (package rundir), after which it hangs up. A
// question has no words, so that there is nothing to parse for the process
// that all of a pod's calls go through.
//
// Asking never gets in the way of a pod: a few questions at a time are
// answered, each within a limit, and while nobody asks there is a goroutine
// that waits in accept. Without the socket the sandbox works as well.
//
// What the document says is up to package intercept; who reads it is
// `kata-tes status`, of this release or another.
package report
