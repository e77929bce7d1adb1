// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// containerdChecks are about containerd, and which of its handlers are ours.
func (d *doctor) containerdChecks() []check {
	on := about("containerd")
	return []check{
		on("configuration", d.checkContainerd, "install containerd, or name its configuration with --containerd-config"),
		on("version", d.checkContainerdVersion, "use containerd 1.6, 1.7 or 2.x"),
		on("process", d.checkContainerdProcess, "start it: systemctl start containerd"),
		on("handler", d.checkHandlers, "kata-tes install --runtime NAME"),
	}
}

func (d *doctor) checkContainerd(context.Context) (string, error) {
	if errors.Is(d.nodeErr, node.ErrNoContainerd) {
		return "", d.nodeErr
	}
	if d.nodeErr != nil {
		return "", wrongf("correct the file: 'containerd config dump' says what is wrong with it", "%v", d.nodeErr)
	}
	c := d.node.Containerd
	detail := fmt.Sprintf("%s (version %d)", c.Config, c.ConfigVersion)
	if more := len(c.Files) - 1; more > 0 {
		detail += fmt.Sprintf(" and %d imported", more)
	}
	return detail, nil
}

// errNoContainerd is why a check about containerd can't be made.
var errNoContainerd = unknownf("see the check of containerd's configuration", "containerd's configuration was not found or can't be read")

// leastMinor is the oldest containerd 1 that is tested.
const leastMinor = 6

func (d *doctor) checkContainerdVersion(context.Context) (string, error) {
	if d.nodeErr != nil {
		return "", errNoContainerd
	}
	c := d.node.Containerd
	if c.Binary == "" {
		return "", unknownf("put containerd where it can be found, such as /usr/bin", "the program was not found in PATH; by its configuration it is %d.x", max(c.Major, 1))
	}
	major, minor, known := parseVersion(c.Version)
	switch {
	case !known && c.Major == 0:
		return "", unknownf("ask it: containerd --version", "%s does not tell", c.Binary)
	case !known:
		return fmt.Sprintf("%s is %d.x", c.Binary, c.Major), nil
	case major == 1 && minor < leastMinor, major < 1:
		return "", fmt.Errorf("%s is %s", c.Binary, c.Version)
	case major > 2:
		return "", warnf("", "%s is %s, with which kata-tes was not tested", c.Binary, c.Version)
	}
	return fmt.Sprintf("%s is %s", c.Binary, c.Version), nil
}

// versionForm is "v1.7.27", "9.1.2 (Debian)", "2.0.0-rc.1".
var versionForm = regexp.MustCompile(`^v?([0-9]{1,4})\.([0-9]{1,4})(?:[^0-9]|$)`)

func parseVersion(text string) (major, minor int, ok bool) {
	found := versionForm.FindStringSubmatch(text)
	if found == nil {
		return 0, 0, false
	}
	// At most four digits each: neither fails.
	major, _ = strconv.Atoi(found[1])
	minor, _ = strconv.Atoi(found[2])
	return major, minor, true
}

func (d *doctor) checkContainerdProcess(context.Context) (string, error) {
	p, err := d.findContainerd()
	if err != nil {
		return "", err
	}
	if d.node != nil {
		if err := d.checkRestarted(p); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("runs as process %d", p.pid), nil
}

// checkRestarted compares the times of the files that count with the process's.
func (d *doctor) checkRestarted(p process) error {
	for _, file := range d.node.Containerd.Files {
		info, err := d.tree.Stat(file.Path)
		if err == nil && !p.started.IsZero() && info.ModTime().After(p.started) {
			return warnf("restart it if you changed something there: systemctl restart containerd (running pods are not touched)",
				"%s was written after containerd had been started, so that what it says may not be in force", file.Path)
		}
	}
	return nil
}

// checkHandlers is about which handlers are ours; what each needs is checked
// apart.
func (d *doctor) checkHandlers(context.Context) (string, error) {
	if d.nodeErr != nil {
		return "", errNoContainerd
	}
	if missing := d.missing(); len(missing) > 0 {
		return "", wrongf("use one that is there, or install Kata Containers (kata-deploy)", "containerd has no handler %s; %s", strings.Join(missing, ", "), d.kataHandlers())
	}
	chosen := d.handlers()
	if len(chosen) == 0 {
		return "", wrongf(cmp.Or(d.installHint(), "install Kata Containers first (kata-deploy)"), "none runs behind kata-tes; %s", d.kataHandlers())
	}
	var names []string
	for _, h := range chosen {
		names = append(names, h.Name)
	}
	return strings.Join(names, ", "), nil
}

func (d *doctor) missing() []string {
	var missing []string
	for _, name := range d.Runtimes {
		if d.node.Containerd.Handler(name) == nil && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// installHint is the command that would install; empty where there is no Kata.
func (d *doctor) installHint() string {
	kata := d.node.Containerd.KataHandlers()
	switch len(kata) {
	case 0:
		return ""
	case 1:
		return "kata-tes install --runtime " + kata[0].Name
	}
	return "kata-tes install --runtime NAME, with the handler that confidential pods use"
}
