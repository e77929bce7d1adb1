// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/kata-tes/kata-tes/configs/guest"
)

// putIn is what to do about whatever is ours and missing.
const putIn = "put it in: kata-tes guest-image --in IMAGE --out IMAGE"

// lookInside adds what is in the image of ours, and what it needs.
func (r *Report) lookInside(ctx context.Context, g guestTree) error {
	agent, err := r.lookAgent(ctx, g)
	if err != nil {
		return err
	}
	unit, err := unitCheck(ctx, g)
	if err != nil {
		return err
	}
	enabled, err := enabledCheck(ctx, g)
	if err != nil {
		return err
	}
	c, configured, err := r.lookConfiguration(ctx, g)
	if err != nil {
		return err
	}
	machine := elf.EM_NONE
	if r.Agent != nil {
		machine = r.Agent.machine
	}
	needed, err := g.requirements(ctx, c, machine)
	r.Checks = append([]Check{agent, unit, enabled, configured}, needed...)
	return err
}

func (r *Report) lookAgent(ctx context.Context, g guestTree) (Check, error) {
	const name = "kata-tes-agent"
	at, runs, err := g.executable(ctx, agentPath)
	if err != nil {
		return Check{}, err
	}
	if !runs {
		return missing(name, putIn, "there is no program %s", agentPath), nil
	}
	content, err := g.Read(ctx, at, maxProgram)
	if err != nil {
		return Check{}, err
	}
	agent, err := parseAgent(content)
	if err != nil {
		return missing(name, putIn, "%s: %v", agentPath, err), nil
	}
	r.Agent = &agent
	return ok(name, "version %s for %s", agent.Version, agent.Architecture), nil
}

func unitCheck(ctx context.Context, g guestTree) (Check, error) {
	const name = "unit"
	if err := overridden(ctx, g); err != nil {
		return missing(name, "make the image without it", "%s", err), nil
	}
	unit, err := tree.ReadFile(ctx, g, unitPath, maxConfiguration)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(name, putIn, "there is no %s", unitPath), nil
	case err != nil:
		return Check{}, err
	case !bytes.Equal(unit, guest.Unit):
		return ok(name, "%s, not as this kata-tes has it", unitPath), nil
	}
	return ok(name, "%s", unitPath), nil
}

// overridden is an error where the image has a unit that systemd would take
// instead of ours.
func overridden(ctx context.Context, g guestTree) error {
	_, entry, err := tree.ResolveParent(ctx, g, overridePath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case entry.Target == "/dev/null":
		return fmt.Errorf("%s in the image masks the unit", overridePath)
	}
	return fmt.Errorf("%s in the image is taken by systemd instead of %s", overridePath, unitPath)
}

func enabledCheck(ctx context.Context, g guestTree) (Check, error) {
	const name = "enabled"
	at, entry, err := tree.ResolveParent(ctx, g, wantsPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(name, putIn, "kata-containers.target does not want the unit"), nil
	case err != nil:
		return Check{}, err
	case !entry.IsLink():
		return missing(name, putIn, "%s is not a link", at), nil
	}
	return ok(name, "kata-containers.target wants the unit"), nil
}

// lookConfiguration also gives what is in force: without the file, or with one
// that can't be read, the defaults.
func (r *Report) lookConfiguration(ctx context.Context, g guestTree) (config.Config, Check, error) {
	const name = "agent.toml"
	text, err := tree.ReadFile(ctx, g, config.DefaultPath, maxConfiguration)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Default(), missing(name, putIn, "there is no %s", config.DefaultPath), nil
	}
	if err != nil {
		return config.Config{}, Check{}, err
	}
	c, err := config.Parse(text)
	if err != nil {
		return config.Default(), missing(name, "put in another one with --config or --profile", "%v", err), nil
	}
	r.Profiles = map[string]string{}
	var found []string
	for _, store := range slices.Sorted(maps.Keys(c.Stores)) {
		r.Profiles[store] = c.Stores[store].Profile.Name
		found = append(found, fmt.Sprintf("store %s: profile %s", store, r.Profiles[store]))
	}
	return c, ok(name, "%s", strings.Join(found, ", ")), nil
}
