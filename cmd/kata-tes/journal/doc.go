// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package journal changes files of a node so that they can be put back exactly,
// also after a change that was cut off half-way.
//
// What is going to be changed is written down first, with what was there before
// (contents, mode, owner); then it is changed, each file at once by a rename; then
// it is written down that all is done. Whoever comes next, after a crash at any
// point, finds either what was there or what was meant to be, and knows which.
//
// Only what is recorded is ever put back: a file that somebody else has changed
// since is reported, not overwritten.
//
// What the files mean is left to the caller.
package journal
