// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package release_test builds a whole release and looks at what a user gets.
package release_test

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var binaries = []string{"containerd-shim-kata-tes-v2", "kata-tes", "kata-tes-agent", "kata-tes-qemu"}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

const (
	// tag is what git describe says of a release candidate.
	tag    = "v1.2.3-rc.1"
	number = "1.2.3-rc.1"
	deb    = "1.2.3~rc.1"
)

// TestRelease is one test, since a release takes a minute or two to build.
func TestRelease(t *testing.T) {
	if os.Getenv("TES_RELEASE") == "" {
		t.Skip("builds two releases, which takes some minutes: TES_RELEASE=1 (make unit sets it)")
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	out := t.TempDir()
	build(t, root, out, tag)

	t.Run("files", func(t *testing.T) { testFiles(t, out) })
	for arch := range machines {
		t.Run("binaries "+arch, func(t *testing.T) { testBinaries(t, out, arch) })
		t.Run("bills of materials "+arch, func(t *testing.T) { testBills(t, out, arch) })
		t.Run("Debian package "+arch, func(t *testing.T) { testDeb(t, out, arch) })
		t.Run("tarball "+arch, func(t *testing.T) { testTarball(t, out, arch) })
	}
	t.Run("what is not committed is not pushed", func(t *testing.T) { testDirty(t, out) })
	t.Run("version", func(t *testing.T) { testVersion(t, out) })
	t.Run("chart", func(t *testing.T) { testChart(t, out) })
	t.Run("the same source elsewhere gives the same bytes", func(t *testing.T) { testAgain(t, root, out) })
}

// build makes a release and its image.
func build(t *testing.T, root, out, version string) {
	t.Helper()
	run(t, root, "make", "release", "image", "RELEASE="+out, "VERSION="+version, "TOOLS="+toolsFolder(t))
}

// toolsFolder is this work tree's, whichever is built.
func toolsFolder(t *testing.T) string {
	t.Helper()
	tools, err := filepath.Abs("../../build/tools")
	require.NoError(t, err)
	return tools
}

func run(t *testing.T, folder, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = folder
	// The clock of the release. The tests may run in a tree without git.
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "MAKEFLAGS=")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	require.NoError(t, err, "%s %s: %s\n%s", program, strings.Join(args, " "), stdout, &stderr)
	return string(stdout)
}

func testFiles(t *testing.T, out string) {
	want := []string{"SHA256SUMS", "kata-tes-chart-" + number + ".tgz"}
	for arch := range machines {
		want = append(want, "kata-tes-"+number+"-linux-"+arch+".tar.gz", "kata-tes_"+deb+"_"+arch+".deb")
		for _, binary := range binaries {
			want = append(want, binary+"-"+number+"-linux-"+arch+".cdx.json")
		}
	}
	slices.Sort(want)
	var got []string
	for name := range sums(t, out) {
		if top, _, nested := strings.Cut(name, "/"); nested {
			require.Contains(t, []string{"bin", "image"}, top)
			continue
		}
		got = append(got, name)
	}
	slices.Sort(got)
	require.Equal(t, want, got)

	checked := run(t, out, "sha256sum", "--check", "--strict", "SHA256SUMS")
	require.Equal(t, len(want)-1, strings.Count(checked, ": OK"), "all but the sums themselves:\n%s", checked)
}

func testBinaries(t *testing.T, out, arch string) {
	for _, binary := range binaries {
		path := filepath.Join(out, "bin", arch, binary)
		file, err := elf.Open(path)
		require.NoError(t, err)
		require.Equal(t, machines[arch], file.Machine, binary)
		require.Nil(t, file.Section(".interp"), "%s is static", binary)
		libraries, err := file.ImportedLibraries()
		require.NoError(t, err)
		require.Empty(t, libraries, "%s is static", binary)
		require.NoError(t, file.Close())

		content, err := os.ReadFile(path)
		require.NoError(t, err)
		// Not by Contains, which would print the binary.
		require.True(t, strings.Contains(string(content), tag), "%s knows its version", binary)
		here, err := filepath.Abs("../..")
		require.NoError(t, err)
		require.False(t, strings.Contains(string(content), here+"/"), "%s says where it was built", binary)
	}
}

// TestBadVersions: they are refused before anything is built.
func TestBadVersions(t *testing.T) {
	for _, version := range []string{"unknown", "v1.2", "1.2.3", "v1.2.3 4", "v1.2.3-rc.1/../x", "main"} {
		out := filepath.Join(t.TempDir(), "out")
		stderr := fails(t, []string{"VERSION=" + version, "LDFLAGS=-s"}, "./binaries.sh", out)
		require.Contains(t, stderr, "is neither a tag", version)
		require.NoDirExists(t, out)
	}
}

// testDirty looks at the digest that is there, too: it must not be replaced by
// what is refused.
func testDirty(t *testing.T, out string) {
	before := sums(t, filepath.Join(out, "image"))
	stderr := fails(t, []string{"VERSION=v1.2.3-dirty"}, "./image.sh", out, "registry.invalid/kata-tes:v1.2.3")
	require.Contains(t, stderr, "commit them before you push")
	require.Equal(t, before, sums(t, filepath.Join(out, "image")))
}

// fails runs what must fail, and gives what it says.
func fails(t *testing.T, environment []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), environment...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.Error(t, cmd.Run())
	return stderr.String()
}

// testVersion asks those programs that this machine can run. kata-tes-qemu has
// no options: all are QEMU's.
func testVersion(t *testing.T, out string) {
	bin := filepath.Join(out, "bin", "amd64")
	require.Equal(t, "kata-tes version "+tag+"\n", run(t, bin, "./kata-tes", "--version"))
	require.Equal(t, "kata-tes-agent "+tag+"\n", run(t, bin, "./kata-tes-agent", "--version"))
	require.Contains(t, run(t, bin, "./containerd-shim-kata-tes-v2", "-v"), tag)
}

// testBills compares each bill of materials with what the binary itself says.
func testBills(t *testing.T, out, arch string) {
	for _, binary := range binaries {
		info, err := buildinfo.ReadFile(filepath.Join(out, "bin", arch, binary))
		require.NoError(t, err)
		var want []string
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			want = append(want, module.Path+" "+module.Version)
		}
		want = append(want, "std "+info.GoVersion)

		var bill struct {
			BOMFormat string `json:"bomFormat"`
			Metadata  struct {
				Component struct{ Name, Version string }
			}
			Components []struct{ Name, Version string }
		}
		content, err := os.ReadFile(filepath.Join(out, binary+"-"+number+"-linux-"+arch+".cdx.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(content, &bill))
		require.Equal(t, "CycloneDX", bill.BOMFormat)
		require.Equal(t, "github.com/kata-tes/kata-tes", bill.Metadata.Component.Name)
		require.Equal(t, "v"+number, bill.Metadata.Component.Version)
		var got []string
		for _, component := range bill.Components {
			got = append(got, component.Name+" "+component.Version)
		}
		require.ElementsMatch(t, want, got, binary)
	}
}

func testDeb(t *testing.T, out, arch string) {
	file := filepath.Join(out, "kata-tes_"+deb+"_"+arch+".deb")
	require.Equal(t, "kata-tes\n"+deb+"\n"+arch+"\n", run(t, out, "dpkg-deb", "--show", "--showformat", "${Package}\n${Version}\n${Architecture}\n", file))

	root := t.TempDir()
	run(t, out, "dpkg-deb", "--raw-extract", file, root)
	for _, binary := range binaries {
		require.Equal(t, content(t, out, "bin", arch, binary), content(t, root, "usr/libexec/kata-tes", binary), binary)
	}
	link, err := os.Readlink(filepath.Join(root, "usr/sbin/kata-tes"))
	require.NoError(t, err)
	require.Equal(t, content(t, root, "usr/libexec/kata-tes/kata-tes"), content(t, root, "usr/sbin", link))
	for _, example := range []string{
		"containerd/kata-tes-containerd-1.toml", "containerd/kata-tes-containerd-2.toml", "guest/agent.toml", "guest/kata-tes-agent.service",
		"kata/50-kata-tes.toml", "kata-tes/config.toml", "kubernetes/trusted_store_cc.yaml",
	} {
		require.Equal(t, content(t, "..", example), content(t, root, "usr/share/kata-tes", example), example)
	}
	require.Contains(t, content(t, root, "usr/share/bash-completion/completions/kata-tes"), "bash completion V2 for kata-tes")
	require.Contains(t, content(t, root, "usr/share/zsh/vendor-completions/_kata-tes"), "#compdef kata-tes")
	require.Contains(t, content(t, root, "usr/share/fish/vendor_completions.d/kata-tes.fish"), "fish completion for kata-tes")
	require.Contains(t, run(t, root, "gzip", "-dc", "usr/share/man/man8/kata-tes.8.gz"), ".SH NAME\nkata-tes - ")

	// It must not change what runs on the node.
	for name := range sums(t, root) {
		require.True(t, strings.HasPrefix(name, "usr/") || strings.HasPrefix(name, "DEBIAN/"), name)
	}
	require.NoFileExists(t, filepath.Join(root, "DEBIAN/conffiles"))
	for _, script := range []string{"postinst", "prerm"} {
		for _, line := range strings.Split(content(t, root, "DEBIAN", script), "\n") {
			require.Regexp(t, `^(#.*|set -e|if \[ "\$1" = (configure|remove) \]; then|  echo "[^"$`+"`"+`]*"|fi|)$`, line, "%s only speaks", script)
		}
	}
	require.Contains(t, run(t, root, "sh", "DEBIAN/postinst", "configure", ""), "kata-tes install")
}

func testTarball(t *testing.T, out, arch string) {
	folder, name := t.TempDir(), "kata-tes-"+number+"-linux-"+arch
	run(t, out, "tar", "-xzf", name+".tar.gz", "-C", folder)
	root := filepath.Join(folder, name)
	for _, binary := range binaries {
		require.Equal(t, content(t, out, "bin", arch, binary), content(t, root, "bin", binary), binary)
	}
	for _, file := range []string{
		"LICENSE", "README.md", "docs/install.md", "configs/guest/agent.toml", "configs/kubernetes/trusted_store_cc.yaml",
		"completions/kata-tes.bash", "man/kata-tes.8.gz", "sbom/kata-tes.cdx.json",
	} {
		require.FileExists(t, filepath.Join(root, file))
	}
	require.Contains(t, content(t, root, "configs/kustomize/install/daemonset.yaml"), "/kata-tes:"+number+"\"")
	for _, line := range strings.Split(strings.TrimSpace(run(t, out, "tar", "--numeric-owner", "-tvzf", name+".tar.gz")), "\n") {
		require.Regexp(t, `^[-d]r[w-][x-]r-[x-]r-[x-] 0/0 `, line, "root's, and nobody else may write")
	}
}

func testChart(t *testing.T, out string) {
	folder := t.TempDir()
	run(t, out, "tar", "-xzf", "kata-tes-chart-"+number+".tgz", "-C", folder)
	chart := content(t, folder, "kata-tes/Chart.yaml")
	require.Contains(t, chart, "\nversion: "+number+"\n")
	require.Contains(t, chart, "\nappVersion: \""+number+"\"\n")
}

// testAgain builds a copy of the source in another folder.
func testAgain(t *testing.T, root, out string) {
	copied, again := filepath.Join(t.TempDir(), "copied"), t.TempDir()
	require.NoError(t, os.Mkdir(copied, 0o755))
	for _, entry := range []string{"LICENSE", "Makefile", "README.md", "go.mod", "go.sum", "agent-ext", "agentproto", "cmd", "configs", "docs", "shim", "virtcontainers-ext"} {
		run(t, root, "cp", "-r", entry, copied)
	}
	build(t, copied, again, tag)
	require.Equal(t, sums(t, out), sums(t, again))
}

// sums has a checksum of each file below a folder.
func sums(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		all[name] = hex.EncodeToString(sum[:])
		return nil
	}))
	return all
}

func content(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(text)
}
