// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// daemonSet is what we read of one.
type daemonSet struct {
	Metadata struct{ Generation int64 }
	Spec     struct {
		Selector struct{ MatchLabels map[string]string }
	}
	Status struct {
		ObservedGeneration     int64
		DesiredNumberScheduled int
		UpdatedNumberScheduled int
		NumberAvailable        int
	}
}

// done says whether each node runs the pod of this generation, ready: as
// `kubectl rollout status` decides it.
func (d *daemonSet) done(generation int64) bool {
	s := d.Status
	return s.ObservedGeneration >= generation && s.UpdatedNumberScheduled >= s.DesiredNumberScheduled && s.NumberAvailable >= s.DesiredNumberScheduled
}

func (d *daemonSet) progress(generation int64) string {
	if d.Status.ObservedGeneration < generation {
		return "waiting for the DaemonSet's controller"
	}
	return fmt.Sprintf("%d of %d nodes have the new pod, %d pods are ready",
		d.Status.UpdatedNumberScheduled, d.Status.DesiredNumberScheduled, d.Status.NumberAvailable)
}

// Rollout changes a DaemonSet of the pod's namespace by a merge patch and waits
// until the changed pod is ready on each of its nodes, telling report of each
// step. When ctx ends before, the error names the nodes that are not done and
// says what their pods say.
func (c *Client) Rollout(ctx context.Context, name string, patch []byte, report func(string)) error {
	path := "/apis/apps/v1/namespaces/" + c.Namespace + "/daemonsets"
	var changed daemonSet
	if err := again(ctx, func() error { return c.patch(ctx, path+"/"+name, patch, &changed) }); err != nil {
		return fmt.Errorf("changing DaemonSet %s: %w", name, err)
	}
	generation := changed.Metadata.Generation
	said := ""
	err := again(ctx, func() error {
		return c.watch(ctx, path, name, func(d *daemonSet) bool {
			if now := d.progress(generation); now != said {
				said = now
				report(now)
			}
			return d.done(generation)
		})
	})
	if err == nil {
		return nil
	}
	if ctx.Err() == nil {
		return fmt.Errorf("watching DaemonSet %s: %w", name, err)
	}
	return errors.Join(fmt.Errorf("DaemonSet %s is not done on all nodes: %s", name, said), c.unfinished(changed))
}

// errEnded says that a watch came to its end, as each does in time.
var errEnded = errors.New("the API server ended the watch")

// watch shows the DaemonSet as it is and after each change, until enough says so
// (then nil) or the watch ends.
func (c *Client) watch(ctx context.Context, path, name string, enough func(*daemonSet) bool) error {
	// Without a resource version, a watch begins with the object as it is.
	query := url.Values{"watch": {"true"}, "fieldSelector": {"metadata.name=" + name}, "timeoutSeconds": {"60"}}
	body, err := c.do(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	events := json.NewDecoder(body)
	for {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := events.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errEnded
			}
			return fmt.Errorf("watching: %w", err)
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			var d daemonSet
			if err := json.Unmarshal(event.Object, &d); err != nil {
				return fmt.Errorf("reading the DaemonSet: %w", err)
			}
			if enough(&d) {
				return nil
			}
		case "DELETED":
			return &statusError{http.StatusNotFound, "it was deleted meanwhile: the nodes' state is unknown"}
		case "ERROR":
			return fmt.Errorf("watching: %s", event.Object)
		}
	}
}
