// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package version holds the version that the build puts into each binary.
package version

// Version is set at link time (-X); "unknown" for a plain `go build`.
var Version = "unknown"
