// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package faults kills and disturbs what a pod with a store is made of, at each
// step of Create, on real parts. The cells are not chosen by hand: they are the
// product of the lists in this package, and docs/faults.md shows them with what
// came of them.
//
// Nothing in the product helps: the steps are met from outside, by a proxy in the
// place of our monitor's socket, by scripts in the place of the guest's programs,
// and by stopping processes.
//
// `make test` runs a share of the cells, another one for each commit;
// TES_ALL=1 runs all.
package faults
