// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage"
)

// inspect looks into a guest image of the node whose / is at root, as
// `kata-tes guest-image --verify` does. Kata's configuration names its files as
// the node has them, so that it is held against the image on the node only.
func inspect(ctx context.Context, root, image, kataConfig string) (guestimage.Report, error) {
	if filepath.Clean(root) != "/" {
		kataConfig = ""
	}
	return guestimage.Inspect(ctx, filepath.Join(root, image), kataConfig, "")
}

// images remembers what is in which image: handlers share them, and reading one
// takes seconds.
type images struct {
	mu   sync.Mutex
	seen map[[2]string]inspected
}

type inspected struct {
	report guestimage.Report
	err    error
}

// inspect looks into each image once, one after the other.
func (d *doctor) inspect(ctx context.Context, image, kataConfig string) (guestimage.Report, error) {
	d.images.mu.Lock()
	defer d.images.mu.Unlock()
	key := [2]string{image, kataConfig}
	if known, ok := d.images.seen[key]; ok {
		return known.report, known.err
	}
	report, err := d.live.inspect(ctx, image, kataConfig)
	if d.images.seen == nil {
		d.images.seen = map[[2]string]inspected{}
	}
	d.images.seen[key] = inspected{report, err}
	return report, err
}

// image is the guest image that the Kata configuration names.
func (h handler) image() string {
	for _, key := range []string{"image", "initrd"} {
		if image, _ := h.hypervisorKey(key).(string); image != "" {
			return image
		}
	}
	return ""
}

func (h handler) checkImage(ctx context.Context) (string, error) {
	if h.noKata() {
		return "", errNoKata
	}
	image := h.image()
	if image == "" {
		return "", wrongf("name one by image or initrd in [hypervisor.qemu] of the Kata configuration", "the Kata configuration names no guest image")
	}
	// Links are the node's; below another root they lead elsewhere.
	resolved, err := h.tree.Resolve(image)
	if err != nil {
		return "", err
	}
	report, err := h.inspect(ctx, resolved, h.Kata.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", wrongf("correct the Kata configuration, or make the image", "the guest image %s is not there", image)
	case err != nil:
		return "", unknownf("see 'kata-tes guest-image --verify "+image+"'", "%s can't be looked into: %v", image, err)
	}
	return describeImage(image, report)
}

// describeImage has the first thing that is missing; --verify has all.
func describeImage(image string, report guestimage.Report) (string, error) {
	missing := 0
	var first guestimage.Check
	for _, c := range report.Checks {
		if c.State != guestimage.Missing {
			continue
		}
		if missing++; missing == 1 {
			first = c
		}
	}
	more := ""
	if missing > 1 {
		more = fmt.Sprintf(" (and %d more: kata-tes guest-image --verify %s)", missing-1, image)
	}
	if missing > 0 {
		return "", wrongf(first.Remedy, "%s: %s: %s%s", image, first.Name, first.Found, more)
	}
	detail := image
	if report.Agent != nil {
		detail += " with kata-tes-agent " + report.Agent.Version
	}
	return detail, nil
}
