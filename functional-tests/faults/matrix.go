// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import "strings"

// By is how a step is met from outside.
type By int

// The ways.
const (
	// ByMonitor: a command to QEMU.
	ByMonitor By = iota
	// ByProgram: a program in the guest.
	ByProgram
	// ByAgent: the guest's agent extension is stopped (SIGSTOP) and does not
	// say its version.
	ByAgent
	// ByShim: our shim is stopped and does not read that the store is ready.
	ByShim
	// ByInner: the inner shim is stopped and does not read the forwarded Create.
	ByInner
)

// Step is a moment of Create.
type Step struct {
	By By
	// Command is that of the monitor or the guest's program with its action.
	Command string
	// Nth counts the command from the beginning of Create; 0 is the first.
	Nth int
	// After: the command has been carried out and not been answered.
	After bool
}

func (s Step) String() string {
	switch {
	case s.By == ByAgent:
		return "version of the guest's extension asked"
	case s.By == ByShim:
		return "store ready, not yet read"
	case s.By == ByInner:
		return "Create rewritten and forwarded"
	case s.Nth == 1:
		return "before the first qmp_capabilities"
	case s.After:
		return "after " + s.Command
	}
	return "before " + s.Command
}

// Steps are those of Create, in order.
func Steps() []Step {
	steps := []Step{
		{By: ByMonitor, Command: "qmp_capabilities", Nth: 1},
		{By: ByAgent},
	}
	for _, command := range Commands() {
		steps = append(steps, Step{By: ByMonitor, Command: command.Name, Nth: command.Nth})
		if command.Changes {
			steps = append(steps, Step{By: ByMonitor, Command: command.Name, Nth: command.Nth, After: true})
		}
	}
	for _, program := range Programs() {
		steps = append(steps, Step{By: ByProgram, Command: program}, Step{By: ByProgram, Command: program, After: true})
	}
	return append(steps, Step{By: ByShim}, Step{By: ByInner}, Step{By: ByProgram, Command: ContainerProgram})
}

// Command is one that Attach sends to QEMU.
type Command struct {
	Name string
	// Nth is which of that name it is since the beginning of Create.
	Nth int
	// Changes: it has an effect. The others only ask.
	Changes bool
}

// Commands are all of them, in order.
func Commands() []Command {
	return []Command{
		{Name: "qmp_capabilities", Nth: 2},
		{Name: "qom-list"},
		{Name: "query-named-block-nodes"},
		{Name: "query-fdsets"},
		{Name: "add-fd", Changes: true},
		{Name: "blockdev-add", Changes: true},
		{Name: "remove-fd", Changes: true},
		{Name: "device_add", Changes: true},
	}
}

// Programs are those that the guest's agent extension runs, in order, with their
// action.
func Programs() []string {
	return []string{"cryptsetup luksFormat", "cryptsetup luksOpen", "mkfs.ext4"}
}

// ContainerProgram is what kata-agent runs for the forwarded Create.
const ContainerProgram = "runc create"

// Victim is a process that is killed (SIGKILL).
type Victim string

// The victims.
const (
	Containerd Victim = "containerd"
	Shim       Victim = "our shim"
	Inner      Victim = "inner shim"
	QEMU       Victim = "QEMU"
	Agent      Victim = "agent extension"
)

// Victims are all of them.
func Victims() []Victim { return []Victim{Containerd, Shim, Inner, QEMU, Agent} }

// EndsSandbox says whether the pod's virtual machine goes with the victim.
func (v Victim) EndsSandbox() bool { return v == Shim || v == Inner || v == QEMU }

// Kind is what is done to an effect.
type Kind string

// The kinds.
const (
	// Fail: it is refused.
	Fail Kind = "fails"
	// Delay: it does not come within the time limit, and may come later.
	Delay Kind = "takes too long"
	// Lose: it is done, and its answer is lost or says that it failed.
	Lose Kind = "done, answer lost"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Fail, Delay, Lose} }

// The effects that are neither a command nor a program.
const (
	Dial    = "vsock dial and version"
	Prepare = "Prepare's answer"
	Mount   = "mount in the guest"
	Rewrite = "config.json rewritten"
)

// Effects are what Create does outside its process.
func Effects() []string {
	effects := []string{Dial}
	for _, command := range Commands() {
		effects = append(effects, command.Name)
	}
	effects = append(effects, Programs()...)
	return append(effects, Mount, Prepare, Rewrite, ContainerProgram)
}

// Impossible says why nothing can do that to an effect, or is shown elsewhere;
// empty where it is a cell.
func Impossible(effect string, kind Kind) string {
	switch {
	case effect == Prepare && kind == Fail:
		return "fails with each of the programs"
	case effect == Rewrite && kind == Delay:
		return "a rename in memory"
	case effect == Rewrite && kind == Lose:
		return "our shim killed with the Create forwarded"
	}
	return ""
}

// Cell is one place of a table.
type Cell struct {
	Table, Row, Column string
	// Of the first table.
	Step   Step
	Victim Victim
	// Of the second.
	Effect string
	Kind   Kind
}

// The tables.
const (
	KillTable   = "kill"
	EffectTable = "effect"
)

// Name is unique, and that of its test.
func (c Cell) Name() string {
	return strings.ReplaceAll(c.Table+"/"+c.Row+"/"+c.Column, " ", "_")
}

// Cells are all of a table.
func Cells(table string) []Cell {
	var cells []Cell
	if table == KillTable {
		for _, step := range Steps() {
			for _, victim := range Victims() {
				cells = append(cells, Cell{Table: table, Row: step.String(), Column: string(victim), Step: step, Victim: victim})
			}
		}
		return cells
	}
	for _, effect := range Effects() {
		for _, kind := range Kinds() {
			if Impossible(effect, kind) == "" {
				cells = append(cells, Cell{Table: table, Row: effect, Column: string(kind), Effect: effect, Kind: kind})
			}
		}
	}
	return cells
}
