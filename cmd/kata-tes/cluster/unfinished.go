// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// afterwards is the time to find out what went wrong once time is over.
const afterwards = 10 * time.Second

// pod is what we read of one.
type pod struct {
	Spec   struct{ NodeName string }
	Status struct {
		Conditions            []struct{ Type, Status string }
		InitContainerStatuses []containerStatus
		ContainerStatuses     []containerStatus
	}
}

type containerStatus struct {
	Name             string
	State, LastState struct {
		Waiting    *struct{ Reason, Message string }
		Terminated *struct {
			Reason, Message string
			ExitCode        int
		}
	}
}

// trouble is why a container does not work, or empty. Its last words count more
// than what the kubelet waits for.
func (c *containerStatus) trouble() string {
	for _, state := range []*struct {
		Reason, Message string
		ExitCode        int
	}{c.State.Terminated, c.LastState.Terminated} {
		switch {
		case state == nil || state.ExitCode == 0:
		case state.Message != "":
			return strings.TrimSpace(state.Message)
		default:
			return fmt.Sprintf("%s, exit status %d", state.Reason, state.ExitCode)
		}
	}
	// A container behind an init container waits with this reason.
	if w := c.State.Waiting; w != nil && w.Reason != "PodInitializing" {
		return strings.TrimSpace(w.Reason + " " + w.Message)
	}
	return ""
}

// unfinished has an error for each of the DaemonSet's pods that is not ready.
func (c *Client) unfinished(d daemonSet) error {
	ctx, cancel := context.WithTimeout(context.Background(), afterwards)
	defer cancel()
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(d.Spec.Selector.MatchLabels)) {
		labels = append(labels, key+"="+d.Spec.Selector.MatchLabels[key])
	}
	var pods struct{ Items []pod }
	query := url.Values{"labelSelector": {strings.Join(labels, ",")}}
	if err := c.get(ctx, "/api/v1/namespaces/"+c.Namespace+"/pods", query, &pods); err != nil {
		return fmt.Errorf("asking which nodes are not done: %w", err)
	}
	var all []error
	for _, p := range pods.Items {
		if !p.ready() {
			all = append(all, fmt.Errorf("node %s: %s", p.Spec.NodeName, p.reason()))
		}
	}
	return errors.Join(all...)
}

func (p *pod) ready() bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}

// reason is what the first container that does not work says.
func (p *pod) reason() string {
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if text := c.trouble(); text != "" {
			return c.Name + ": " + text
		}
	}
	return "its pod is not ready: is the node up?"
}
