// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"github.com/kata-tes/kata-tes/shim/config"
)

const (
	// kubeletConfig is where kubeadm and most distributions have it.
	kubeletConfig = "/var/lib/kubelet/config.yaml"
	// kubeletDefault is runtimeRequestTimeout of a kubelet that is told nothing
	// (KubeletConfiguration v1beta1).
	kubeletDefault = 2 * time.Minute
)

// requestTimeout is the kubelet's line: YAML, but always so.
var requestTimeout = regexp.MustCompile(`(?m)^runtimeRequestTimeout:[ \t]*"?([0-9a-zµ.]+)"?[ \t]*(?:#.*)?$`)

// checkTimes: all that we do before Kata's own Create counts into one call of
// the kubelet. Where that gives up first, a person reads "context deadline
// exceeded" and not the reason.
func (h handler) checkTimes(context.Context) (string, error) {
	if h.config == nil {
		return "", unknownf("see the check of the node's configuration", "/etc/kata-tes/config.toml makes no sense")
	}
	settings, err := h.config.For(h.ConfigPath)
	if err != nil {
		return "", unknownf("see the check of Kata's own shim", "%v", err)
	}
	kubelet, source, err := h.kubeletTimeout()
	if err != nil {
		return "", err
	}
	if ours := longest(settings.Timeouts); ours >= kubelet {
		return "", fmt.Errorf("preparing a store may take %s before it is given up, and the kubelet gives up after %s (%s)", ours, kubelet, source)
	}
	if h.noKata() {
		return "", errNoKata
	}
	seconds, _ := h.kataKey("runtime", "create_container_timeout").(int64)
	kata := time.Duration(seconds) * time.Second
	if kata <= 0 {
		// Not without limit: virtcontainers/kata_agent.go, getReqContext.
		return "", wrongf("set create_container_timeout in [runtime] of the Kata configuration, in seconds: 60 as a rule", "create_container_timeout is not set or 0, with which Kata's Go runtime gives no container any time")
	}
	if kata > kubelet {
		return "", warnf("raise runtimeRequestTimeout of the kubelet to that",
			"Kata gives a container %s (create_container_timeout), and the kubelet gives up after %s (%s)", kata, kubelet, source)
	}
	return fmt.Sprintf("kubelet %s (%s); pulling and unpacking an image %s (create_container_timeout)", kubelet, source, kata), nil
}

// longest is how long a store's preparation may take that fails at the end: see
// the comment on config.Timeouts' built-in values.
func longest(t config.Timeouts) time.Duration { return 3*t.Find + t.Attach + t.Prepare + 2*t.Undo }

func (d *doctor) kubeletTimeout() (limit time.Duration, source string, err error) {
	content, err := d.tree.Read(kubeletConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return kubeletDefault, "its default; no " + kubeletConfig, nil
	}
	if err != nil {
		return 0, "", unknownf("", "reading the kubelet's configuration: %v", err)
	}
	found := requestTimeout.FindSubmatch(content)
	if found == nil {
		return kubeletDefault, "its default", nil
	}
	limit, err = time.ParseDuration(string(found[1]))
	if err != nil {
		return 0, "", unknownf("correct "+kubeletConfig, "runtimeRequestTimeout in %s is no time: %v", kubeletConfig, err)
	}
	if limit == 0 {
		return kubeletDefault, "its default", nil
	}
	return limit, kubeletConfig, nil
}
