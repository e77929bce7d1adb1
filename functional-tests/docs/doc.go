// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs holds the pages below docs/ against the code: errors, names of
// log fields, places in the code, links. What is made from code is in package
// generated.
package docs
