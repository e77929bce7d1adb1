// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kata-tes/kata-tes/cmd/internal/version"
)

const (
	// agentProgram is its main package, by which Go's build information names it.
	agentProgram = "github.com/kata-tes/kata-tes/cmd/kata-tes-agent"
	// maxProgram is the largest program that is read, in bytes.
	maxProgram = 256 << 20
)

// Agent is the agent extension's program.
type Agent struct {
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	SHA256       string `json:"sha256"`

	content []byte
	machine elf.Machine
}

// LoadAgent reads it from this machine.
func LoadAgent(path string) (Agent, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own choice
	if err != nil {
		return Agent{}, fmt.Errorf("the agent extension's program: %w (name it with --agent)", err)
	}
	defer f.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(f, maxProgram))
	if err != nil {
		return Agent{}, fmt.Errorf("reading %s: %w", path, err)
	}
	agent, err := parseAgent(content)
	if err != nil {
		return Agent{}, fmt.Errorf("%s: %w", path, err)
	}
	return agent, nil
}

// parseAgent refuses whatever is not the agent extension, or would not run in a
// guest image.
func parseAgent(content []byte) (Agent, error) {
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return Agent{}, errors.New("it is no program (ELF)")
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil || info.Path != agentProgram {
		return Agent{}, errors.New("it is not kata-tes-agent")
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return Agent{}, errors.New("it needs libraries, which the image may not have: build it with CGO_ENABLED=0")
		}
	}
	sum := sha256.Sum256(content)
	return Agent{
		Version: version.Of(content), Architecture: architecture(program.Machine), SHA256: hex.EncodeToString(sum[:]),
		content: content, machine: program.Machine,
	}, nil
}

// architecture is Go's word for it.
func architecture(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_PPC64:
		return "ppc64le"
	case elf.EM_RISCV:
		return "riscv64"
	}
	return m.String()
}

// machineOf is the architecture of a program in an image; EM_NONE when it is
// none, such as a script.
func machineOf(content []byte) elf.Machine {
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return elf.EM_NONE
	}
	return program.Machine
}
