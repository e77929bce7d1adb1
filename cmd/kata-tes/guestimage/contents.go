// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/kata-tes/kata-tes/configs/guest"
)

// Where what goes into the image.
const (
	agentPath = "/usr/bin/kata-tes-agent"
	unitName  = "kata-tes-agent.service"
	unitPath  = "/usr/lib/systemd/system/" + unitName
	// wantsPath is what `systemctl enable` makes.
	wantsPath = "/etc/systemd/system/kata-containers.target.wants/" + unitName
	// overridePath is where a unit takes precedence over ours, or masks it.
	overridePath = "/etc/systemd/system/" + unitName
	// maxConfiguration is the largest agent.toml, in bytes.
	maxConfiguration = 1 << 20
)

func files(agent Agent, configuration []byte) []tree.File {
	return []tree.File{
		tree.Regular(agentPath, 0o755, agent.content),
		tree.Regular(unitPath, 0o644, guest.Unit),
		tree.Regular(config.DefaultPath, 0o644, configuration),
		tree.Link(wantsPath, unitPath),
	}
}

// configuration is the agent.toml to put in: of a profile, a file of the
// operator's, what the image has already, or the defaults.
func configuration(ctx context.Context, r Request, t tree.Tree) ([]byte, config.Config, error) {
	text, from, err := configurationText(ctx, r, t)
	if err != nil {
		return nil, config.Config{}, err
	}
	c, err := config.Parse(text)
	if err != nil {
		return nil, config.Config{}, fmt.Errorf("%s: %w", from, err)
	}
	return text, c, nil
}

func configurationText(ctx context.Context, r Request, t tree.Tree) (text []byte, from string, err error) {
	switch {
	case r.Configuration != "":
		text, err = os.ReadFile(r.Configuration)
		if err == nil && len(text) > maxConfiguration {
			err = fmt.Errorf("%s has more than %d bytes", r.Configuration, maxConfiguration)
		}
		return text, r.Configuration, err
	case r.Profile != "":
		text, err = ofProfile(r.Profile)
		return text, "profile " + r.Profile, err
	}
	text, err = tree.ReadFile(ctx, t, config.DefaultPath, maxConfiguration)
	if errors.Is(err, fs.ErrNotExist) {
		return guest.Configuration, "the defaults", nil
	}
	return text, config.DefaultPath + " in the image (name another one with --config or --profile)", err
}

// ofProfile is the file with the defaults, of another profile.
func ofProfile(name string) ([]byte, error) {
	var p profile.Profile
	if err := p.UnmarshalText([]byte(name)); err != nil {
		return nil, err
	}
	text := guest.Configuration
	for key, value := range map[string]string{
		"profile":      p.Name,
		"minimum_size": fmt.Sprintf("%dMiB", max(p.Least, config.UsualMinimum)>>20),
	} {
		var err error
		if text, err = set(text, key, value); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// set changes a key that the file with the defaults has once.
func set(text []byte, key, value string) ([]byte, error) {
	var lines []string
	found := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, key+" = ") {
			line = fmt.Sprintf("%s = %q\n", key, value)
			found++
		}
		lines = append(lines, line)
	}
	if found != 1 {
		return nil, fmt.Errorf("the file with the defaults has %s %d times", key, found)
	}
	return []byte(strings.Join(lines, "")), nil
}
