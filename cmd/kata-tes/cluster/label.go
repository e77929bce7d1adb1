// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
)

// SetLabel gives a node a label, or takes it away (value nil). Both may be done
// again.
func (c *Client) SetLabel(ctx context.Context, node, key string, value *string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": map[string]*string{key: value}},
	})
	if err != nil {
		return fmt.Errorf("labelling node %s: %w", node, err)
	}
	if err := again(ctx, func() error { return c.patch(ctx, "/api/v1/nodes/"+node, patch, nil) }); err != nil {
		return fmt.Errorf("labelling node %s: %w", node, err)
	}
	return nil
}
