// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command dependencies writes the page of all modules that this one uses, with
// their licences and who uses them, to standard output (docs/dependencies.md).
// It runs in the repository's root and needs the modules that the build needs.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed page.md
var heading string

// users are who uses modules, each by a set of packages: a module's first one is
// what counts for a reader.
var users = []struct {
	name     string
	packages []string
	flags    []string
}{
	{"node", binaries(func(name string) bool { return name != guestBinary }), nil},
	{"guest", binaries(func(name string) bool { return name == guestBinary }), nil},
	{"tests", []string{"./..."}, []string{"-test", "-tags", "node"}},
}

const guestBinary = "kata-tes-agent"

// binaries are the packages of the binaries that keep wants.
func binaries(keep func(name string) bool) []string {
	mains, err := filepath.Glob("cmd/*/main.go")
	if err != nil || len(mains) == 0 {
		log.Fatalf("dependencies: no binaries in cmd (%v): run it in the repository's root", err)
	}
	var packages []string
	for _, main := range mains {
		if folder := filepath.Dir(main); keep(filepath.Base(folder)) {
			packages = append(packages, "./"+folder)
		}
	}
	return packages
}

// module is what `go list` says of one.
type module struct {
	Path, Version, Dir string
	Main               bool
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("dependencies: ")
	if err := write(os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func write(out io.Writer) error {
	used := map[string][]string{}
	modules := map[string]module{}
	for _, user := range users {
		found, err := list(user.packages, user.flags)
		if err != nil {
			return err
		}
		for path, m := range found {
			modules[path] = m
			used[path] = append(used[path], user.name)
		}
	}
	if _, err := io.WriteString(out, heading); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		licence, err := licenceOf(modules[path])
		if err != nil {
			return err
		}
		by := used[path]
		if len(by) > 1 {
			// That tests use what the product uses says nothing.
			by = slices.DeleteFunc(by, func(name string) bool { return name == "tests" })
		}
		if _, err := fmt.Fprintf(out, "| %s | %s | %s | %s |\n", path, modules[path].Version, licence, strings.Join(by, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// list are the modules that packages are built of, by path.
func list(packages, flags []string) (map[string]module, error) {
	args := append(append([]string{"list", "-deps", "-json=Module"}, flags...), packages...)
	cmd := exec.Command("go", args...)
	// As the binaries are built: static, without C.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	found := map[string]module{}
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p struct{ Module *module }
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading what go list says: %w", err)
		}
		if p.Module != nil && !p.Module.Main {
			found[p.Module.Path] = *p.Module
		}
	}
}
