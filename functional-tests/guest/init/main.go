// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command init is process 1 of the test guest: it makes the file systems that
// a guest has, loads the drivers that Kata's own kernel has built in, and
// starts kata-agent (or what stands in for it) and kata-tes-agent side by
// side, as systemd would. It restarts nothing: a guest whose agent died is to
// be seen as such.
//
// Kernel parameter `tes.agent=off` leaves kata-tes-agent out, for tests of
// guests that were built without it. `tes.profile=NAME` stands for a guest image
// that was built with another agent.toml, /etc/kata-tes/agent-NAME.toml. (The
// product itself takes nothing from the command line, which is the host's.)
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	agentOff     = "tes.agent=off"
	agentProfile = "tes.profile="
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: only as process 1 of a guest")
		os.Exit(1)
	}
	if err := os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
		fatal(err)
	}
	if err := mountAll(); err != nil {
		fatal(err)
	}
	// The console is a device of virtio: its driver comes first.
	early := modprobe(consoleModules)
	log := openLog()
	log.print("console is open")
	log.failed(early)
	log.failed(modprobe(bootModules))

	if err := chooseConfiguration("/etc/kata-tes", commandLine()); err != nil {
		fatal(err)
	}
	children := newChildren(log)
	log.failed(children.start("kata-agent", "/usr/bin/kata-agent"))
	if wants(agentOff) {
		log.print("kata-tes-agent stays out: " + agentOff)
	} else {
		log.failed(children.start("kata-tes-agent", "/usr/bin/kata-tes-agent"))
	}
	log.failed(children.start("modprobe", "/sbin/modprobe", append([]string{"-a"}, storeModules...)...))
	log.print("guest is up")
	children.reap()
	log.print("nothing is left to wait for: powering off")
	fatal(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// wants says whether the kernel's command line has the word.
func wants(word string) bool { return slices.Contains(commandLine(), word) }

func commandLine() []string {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		fatal(err)
	}
	return strings.Fields(string(line))
}

// chooseConfiguration puts another configuration of kata-tes-agent into place.
func chooseConfiguration(folder string, commandLine []string) error {
	for _, word := range commandLine {
		if name, found := strings.CutPrefix(word, agentProfile); found {
			return os.Rename(filepath.Join(folder, "agent-"+filepath.Base(name)+".toml"), filepath.Join(folder, "agent.toml"))
		}
	}
	return nil
}

func modprobe(names []string) error {
	output, err := exec.Command("/sbin/modprobe", append([]string{"-a"}, names...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("loading %s: %w: %s", strings.Join(names, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// fatal ends the guest: when process 1 returns, the kernel panics, which is
// what a guest without its basics should look like.
func fatal(err error) {
	fmt.Fprintln(os.Stderr, "init:", err)
	// The console needs a moment to print; there is nothing to wait for.
	time.Sleep(100 * time.Millisecond)
	os.Exit(1)
}
