// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
)

// State of what is looked for in an image.
type State string

// The states.
const (
	// OK is as it should be.
	OK State = "ok"
	// Missing is missing or wrong: the store will not work.
	Missing State = "missing"
	// Unknown could not be looked at.
	Unknown State = "unknown"
)

// Check is one thing that was looked at.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Found is what there is.
	Found string `json:"found"`
	// Remedy is what to do; empty for what is OK.
	Remedy string `json:"remedy,omitempty"`
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, State: OK, Found: fmt.Sprintf(format, args...)}
}

func missing(name, remedy, format string, args ...any) Check {
	return Check{Name: name, State: Missing, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

// guestTree is a guest's files and what its kernel starts.
type guestTree struct {
	tree.Tree
	init string
}

// requirements are what an image must have before the agent extension can work
// in it. machine is the agent extension's; EM_NONE when there is none.
func (g guestTree) requirements(ctx context.Context, c config.Config, machine elf.Machine) ([]Check, error) {
	checks := []func() (Check, error){
		func() (Check, error) { return g.systemd(ctx) },
		func() (Check, error) { return g.target(ctx) },
		func() (Check, error) {
			return g.program(ctx, "cryptsetup", c.Tools.Cryptsetup, "make the image with the package cryptsetup, as Kata's confidential image is")
		},
	}
	for _, tool := range mkfsOf(c) {
		checks = append(checks, func() (Check, error) {
			name := path.Base(tool)
			return g.program(ctx, name, tool, "make the image with the package that has "+name+" (e2fsprogs, xfsprogs), or choose another --profile")
		})
	}
	checks = append(checks, func() (Check, error) { return g.architecture(ctx, c, machine) })
	var found []Check
	for _, check := range checks {
		one, err := check()
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

// mkfsOf are the mkfs of the stores' file systems.
func mkfsOf(c config.Config) []string {
	tools := map[string]bool{}
	for _, store := range c.Stores {
		_, tool := c.Tools.Mkfs(store.Profile.FileSystem)
		tools[tool] = true
	}
	return slices.Sorted(maps.Keys(tools))
}

const agentIsInit = "an image made with AGENT_INIT=yes (or with NVRC) has kata-agent started by no systemd, and nothing that starts another service: " +
	"make it with AGENT_INIT=no (the default of Kata's rootfs builder), as Kata's confidential image is"

// systemd must be what the kernel starts.
func (g guestTree) systemd(ctx context.Context) (Check, error) {
	const name = "systemd"
	for _, candidate := range []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"} {
		at, runs, err := g.executable(ctx, candidate)
		if err != nil {
			return Check{}, err
		}
		if !runs {
			continue
		}
		init, _, err := tree.Resolve(ctx, g, g.init)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return missing(name, "make "+g.init+" a link to "+candidate, "there is no %s", g.init), nil
		case err != nil:
			return Check{}, err
		case init != at:
			return missing(name, agentIsInit, "%s is %s, not systemd", g.init, init), nil
		}
		return ok(name, "%s", at), nil
	}
	return missing(name, agentIsInit, "it is not in the image"), nil
}

func (g guestTree) target(ctx context.Context) (Check, error) {
	const name = "kata-containers.target"
	for _, folder := range []string{"/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
		at, entry, err := tree.Resolve(ctx, g, folder+name)
		if err == nil && entry.IsRegular() {
			return ok(name, "%s", at), nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Check{}, err
		}
	}
	return missing(name, "take a guest image of Kata's: this one would not start kata-agent either", "it is not in the image"), nil
}

func (g guestTree) program(ctx context.Context, name, where, remedy string) (Check, error) {
	at, runs, err := g.executable(ctx, where)
	if err != nil {
		return Check{}, err
	}
	if !runs {
		return missing(name, remedy, "there is no program %s", where), nil
	}
	return ok(name, "%s", at), nil
}

// architecture holds the agent extension's against that of the image.
func (g guestTree) architecture(ctx context.Context, c config.Config, machine elf.Machine) (Check, error) {
	const name = "architecture"
	for _, candidate := range []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd", c.Tools.Cryptsetup} {
		_, runs, err := g.executable(ctx, candidate)
		if err != nil {
			return Check{}, err
		}
		if !runs {
			continue
		}
		content, err := tree.ReadFile(ctx, g, candidate, maxProgram)
		if err != nil {
			return Check{}, err
		}
		image := machineOf(content)
		switch {
		case image == elf.EM_NONE:
			continue
		case machine != elf.EM_NONE && machine != image:
			return missing(name, "take the kata-tes-agent for "+architecture(image),
				"the image is for %s, kata-tes-agent for %s", architecture(image), architecture(machine)), nil
		}
		return ok(name, "%s", architecture(image)), nil
	}
	return Check{Name: name, State: Unknown, Found: "the image has no program that tells"}, nil
}

// executable follows links and says whether there is a program.
func (g guestTree) executable(ctx context.Context, name string) (string, bool, error) {
	at, entry, err := tree.Resolve(ctx, g, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return at, entry.IsRegular() && entry.Mode&0o111 != 0, err
}

// refusal is the error for what is missing; nil when nothing is.
func refusal(checks []Check) error {
	var found []string
	for _, check := range checks {
		if check.State == Missing {
			found = append(found, fmt.Sprintf("%s: %s: %s", check.Name, check.Found, check.Remedy))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("the agent extension can't work in this image:\n  %s", strings.Join(found, "\n  "))
}
