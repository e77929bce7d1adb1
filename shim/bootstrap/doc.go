// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package bootstrap is the command line that containerd sees: `start`,
// `delete`, -info and -v of a shim, and the serving process that `start`
// leaves behind, one for each sandbox.
//
// The inner shim does its own `start`, `delete` and -info: they run with the
// arguments, environment, input and working directory that containerd gave
// us. Of its answers only the address is replaced, by that of our socket,
// which is derived from the inner one. So `start` for a further container of
// a pod, which prints the same inner address, finds the serving process again
// without a registry.
//
// The serving process never ends the inner shim. It ends when the inner shim
// does. When it was killed, its socket's file remains, and that is how `start`
// tells a lost sandbox from a new one: what the lost process knew of the
// sandbox's store is gone, so no container may join it any more. `delete`
// then ends the inner shim as well.
package bootstrap
