// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// erring are the packages whose errors end in a pod's event or on the guest's
// console.
var erring = []string{
	"shim/bootstrap", "shim/config", "shim/hostdev", "shim/intercept", "shim/ocispec", "shim/proxy", "shim/report", "shim/store",
	"virtcontainers-ext", "agent-ext", "agentproto",
}

// internal are the errors that docs/errors.md leaves out, and why.
var internal = map[string]string{
	"shim/bootstrap.errUsage":            "for who starts the program by hand; it says what to do",
	"shim/proxy.errInnerWrite":           "an attribute: its text stands within the answer of unavailable()",
	"shim/proxy.errMalformed":            "of a client that is not containerd",
	"virtcontainers-ext.ErrAttached":     "cannot be: each attach invents a marker",
	"virtcontainers-ext.errFlags":        "cannot be: we opened the device so",
	"virtcontainers-ext/rundir.ErrBadID": "containerd gives no such id",
	"virtcontainers-ext/rundir.ErrNotFound": "an attribute: kata-tes-qemu then becomes QEMU untouched, " +
		"and who asks for a store has no monitor",
	"virtcontainers-ext/qemuwrap.errRelative": "stands within the wrapper's sentence, which has the remedy",
	"virtcontainers-ext/qemuwrap.errSelf":     "stands within the wrapper's sentence, which has the remedy",
	"virtcontainers-ext/qemuwrap.errNoFile":   "stands within the wrapper's sentence, which has the remedy",
	"agent-ext/luks.errTooLong":               "of a kernel with some hundred targets; another try is made first",
	"agent-ext/luks.ErrNoMapping":             "an attribute: what is not there is closed",
	"agent-ext/store.errReleasing":            "of Status, which says that the store is on its way",
	"agentproto/dial.ErrAddress":              "cannot be: the address is checked when it is read from Kata",
	"agentproto/dial.ErrRefused":              "stands within the sentence of the guest without kata-tes-agent",
	"agentproto/dial.ErrNoAnswer":             "stands within the sentence of the guest that does not answer",
}

// row is a line of the index.
type row struct{ message, cause, remedy string }

// index reads the rows of docs/errors.md, those with a message first.
func index(t *testing.T) []row {
	t.Helper()
	page, err := os.ReadFile(repository + "/docs/errors.md")
	require.NoError(t, err)
	var rows []row
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		require.Len(t, cells, 3, "%s: message, cause, remedy", line)
		r := row{strings.Trim(strings.TrimSpace(cells[0]), "`"), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])}
		require.NotEmpty(t, r.cause, line)
		require.NotEmpty(t, r.remedy, line)
		rows = append(rows, r)
	}
	require.NotEmpty(t, rows)
	return rows
}

// TestErrorsAreInTheIndex: each error that has a name is there, or is internal.
func TestErrorsAreInTheIndex(t *testing.T) {
	rows := index(t)
	seen := map[string]bool{}
	for name, message := range sentinels(sources(t, erring...)) {
		seen[name] = true
		// containerd knows by that word that a shim is not there.
		message = strings.TrimPrefix(message, "unavailable: ")
		listed := slices.ContainsFunc(rows, func(r row) bool { return strings.HasPrefix(message, r.message) })
		reason, isInternal := internal[name]
		if isInternal {
			require.NotEmpty(t, reason, name)
			assert.False(t, listed, "%s is internal, and in docs/errors.md too", name)
			continue
		}
		assert.True(t, listed, "docs/errors.md has no row for %s: %q", name, message)
	}
	for name := range internal {
		assert.True(t, seen[name], "internal: there is no error %s any more", name)
	}
}

// TestRemediesAreInTheIndex: what the host adds to the guest's words.
func TestRemediesAreInTheIndex(t *testing.T) {
	rows := index(t)
	all := remedies(sources(t, "shim/store"))
	require.NotEmpty(t, all)
	for _, remedy := range all {
		assert.True(t, slices.ContainsFunc(rows, func(r row) bool { return r.message == remedy }), "docs/errors.md has no row for %q", remedy)
	}
}

// TestIndexIsOfTheCode: each message of the index is a sentence of the code, its
// variable parts written as "…".
func TestIndexIsOfTheCode(t *testing.T) {
	verb := regexp.MustCompile(`%[-+# .0-9]*[a-zA-Z]`)
	var sentences []string
	for _, s := range sources(t, erring...) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok && text(e) != "" {
				sentences = append(sentences, verb.ReplaceAllString(text(e), "…"))
			}
			return true
		})
	}
	for _, r := range index(t) {
		assert.True(t, slices.ContainsFunc(sentences, func(s string) bool { return strings.Contains(s, r.message) }), "no such message in the code: %q", r.message)
	}
}

// sentinels are the errors that packages declare, by package.Name.
func sentinels(all []source) map[string]string {
	found := map[string]string{}
	for _, s := range all {
		eachVariable(s.file, func(name string, value ast.Expr) {
			call, ok := value.(*ast.CallExpr)
			if !ok || !slices.Contains([]string{"errors.New", "fmt.Errorf", "status.Error", "status.Errorf"}, called(call)) {
				return
			}
			for _, argument := range call.Args {
				if message := text(argument); message != "" {
					found[s.folder+"."+name] = message
				}
			}
		})
	}
	return found
}

// remedies are the values of shim/store's map of that name.
func remedies(all []source) (found []string) {
	for _, s := range all {
		eachVariable(s.file, func(name string, value ast.Expr) {
			literal, ok := value.(*ast.CompositeLit)
			if !ok || name != "remedies" {
				return
			}
			for _, element := range literal.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok {
					found = append(found, text(pair.Value))
				}
			}
		})
	}
	return found
}

// eachVariable calls do for the variables that a file declares outside of
// functions.
func eachVariable(file *ast.File, do func(name string, value ast.Expr)) {
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			values, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for i, value := range values.Values {
				do(values.Names[i].Name, value)
			}
		}
	}
}
