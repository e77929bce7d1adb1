// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pause is between two tries: an API server that restarts, or a node's network
// that is just coming up, says nothing when it is there again.
var pause = 2 * time.Second

// again tries until it works, the API server says no for good, or time is over.
func again(ctx context.Context, try func() error) error {
	for {
		err := try()
		var status *statusError
		if err == nil || errors.As(err, &status) && status.final() {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (tried until: %w)", err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}
