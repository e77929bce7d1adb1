// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package configs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/shim/trace"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	rulesFile     = "observability/prometheus-rules.yaml"
	rulesTestFile = "observability/prometheus-rules_test.yaml"
	dashboardFile = "observability/grafana-dashboard.json"
)

type rules struct {
	Groups []struct{ Rules []rule }
}

type rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	require.NoError(t, err)
	var file rules
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Len(t, file.Groups, 1)
	require.NotEmpty(t, file.Groups[0].Rules)
	return file.Groups[0].Rules
}

// dashboard is what is looked at of Grafana's.
type dashboard struct {
	UID    string
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, RefID string }
	}
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

// expressions are the dashboard's, as Grafana sends them: with its variables
// filled in.
func expressions(t *testing.T) []string {
	t.Helper()
	variables := strings.NewReplacer("$instance", ".*", "$__range", "1m", "$__rate_interval", "1m")
	var all []string
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			all = append(all, variables.Replace(target.Expr))
		}
	}
	require.NotEmpty(t, all)
	return all
}

// series are the names that Prometheus has of us.
func series() []string {
	var names []string
	for _, d := range metrics.Describe() {
		if d.Kind == "histogram" {
			names = append(names, d.Name+"_bucket", d.Name+"_sum", d.Name+"_count")
			continue
		}
		names = append(names, d.Name)
	}
	return names
}

var (
	metricName  = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*_(?:total|bucket|sum|count|seconds|bytes)\b`)
	reasonMatch = regexp.MustCompile(`reason(!?=~?)"([^"]*)"`)
)

// requireKnown checks that an expression has metrics and reasons of ours only.
func requireKnown(t *testing.T, expr string) {
	t.Helper()
	found := metricName.FindAllString(expr, -1)
	require.NotEmpty(t, found, expr)
	require.Subset(t, series(), found, expr)
	for _, match := range reasonMatch.FindAllStringSubmatch(expr, -1) {
		require.Subset(t, reasons(t), strings.Split(match[2], "|"), expr)
	}
}

func reasons(t *testing.T) []string {
	t.Helper()
	for _, d := range metrics.Describe() {
		if d.Name == "kata_tes_stores_refused_total" {
			return d.Values
		}
	}
	t.Fatal("refusals are not counted")
	return nil
}

// everyday are reasons that no alert is for: a pod that ends or waits, a retry
// that another one overtook.
var everyday = []string{"not_ready", "canceled", "sandbox_ends", "changed", "guest_already_exists", "guest_canceled"}

// TestEachReasonHasItsAlert: exactly one, or none on purpose.
func TestEachReasonHasItsAlert(t *testing.T) {
	got := slices.Clone(everyday)
	for _, r := range readRules(t) {
		require.NotEmpty(t, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		requireKnown(t, r.Expr)
		for _, match := range reasonMatch.FindAllStringSubmatch(r.Expr, -1) {
			require.NotContains(t, match[1], "!")
			got = append(got, strings.Split(match[2], "|")...)
		}
	}
	require.ElementsMatch(t, reasons(t), got)
}

// TestEachAlertIsTestedAndExplained: it fires in the rules' own test, and the
// document has it.
func TestEachAlertIsTestedAndExplained(t *testing.T) {
	text, err := os.ReadFile(rulesTestFile)
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	document, err := os.ReadFile("../docs/observability.md")
	require.NoError(t, err)
	for _, r := range readRules(t) {
		fires, silent := false, false
		for _, test := range file.Tests {
			for _, a := range test.Alerts {
				fires = fires || a.Name == r.Alert && len(a.Expected) > 0
				silent = silent || a.Name == r.Alert && len(a.Expected) == 0
			}
		}
		require.True(t, fires && silent, r.Alert)
		require.Contains(t, string(document), "\n| `"+r.Alert+"` |")
	}
}

func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	require.Equal(t, "kata-tes", d.UID)
	seen := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		require.False(t, seen[p.ID], p.Title)
		seen[p.ID] = true
		require.NotEmpty(t, p.Title)
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, taken[at], "%s covers %s", p.Title, taken[at])
				taken[at] = p.Title
			}
		}
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
	}
	for _, v := range d.Templating.List {
		if v.Name == "instance" {
			requireKnown(t, fmt.Sprint(v.Query))
		}
	}
	// Everything that is counted is shown.
	all := strings.Join(expressions(t), "\n")
	for _, d := range metrics.Describe() {
		require.Contains(t, all, d.Name)
	}
	for _, expr := range expressions(t) {
		requireKnown(t, expr)
	}
}

// promtool is Prometheus' own tool.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("needs promtool (Debian package prometheus)")
	}
	output, err := exec.Command("promtool", args...).CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func TestRulesInPrometheus(t *testing.T) {
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", rulesTestFile)
}

// TestDashboardInPrometheus: a real Prometheus reads a real file of ours, and
// each of the dashboard's expressions finds something in it.
func TestDashboardInPrometheus(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("needs Prometheus (Debian package prometheus)")
	}
	root := filepath.Join(t.TempDir(), "run")
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		countEverything(root)
		text, err := metrics.Read(root)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, text)
	}))
	t.Cleanup(node.Close)
	query := startPrometheus(t, strings.TrimPrefix(node.URL, "http://"))
	for _, expr := range expressions(t) {
		require.Eventually(t, func() bool { return query(expr) }, time.Minute, 200*time.Millisecond, expr)
	}
}

// countEverything is what a busy node counts between two looks.
func countEverything(root string) {
	n := metrics.Open(root, logrus.NewEntry(logrus.New()))
	defer n.Close()
	n.Add(metrics.StoresPrepared, "")
	n.AddMany(metrics.PreparedBytes, "", 1<<30)
	n.Add(metrics.StoresRefused, "in_use")
	n.Add(metrics.StoresRefused, "guest_data_loss")
	n.Add(metrics.LateStores, "warn")
	n.Forwarded()
	n.Observe(metrics.PreparationDuration, "", 1500*time.Millisecond)
	n.Observe(metrics.StepDuration, "prepare", time.Second)
	n.Observe(metrics.GuestStepDuration, "mkfs", 100*time.Millisecond)
}

// startPrometheus scrapes the target each second. The answer says whether an
// expression finds something.
func startPrometheus(t *testing.T, target string) func(expr string) bool {
	t.Helper()
	folder := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: node, static_configs: [{targets: [%q]}]}]\n", target)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "prometheus.yml"), []byte(config), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+filepath.Join(folder, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address, "--log.level=error")
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	return func(expr string) bool {
		answer, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr))
		if err != nil {
			return false // it starts
		}
		defer func() { _ = answer.Body.Close() }()
		var found struct {
			Data struct{ Result []any }
		}
		return json.NewDecoder(answer.Body).Decode(&found) == nil && len(found.Data.Result) > 0
	}
}

// TestCollector: the collector looks where the shims write.
func TestCollector(t *testing.T) {
	text, err := os.ReadFile("observability/collector.yaml")
	require.NoError(t, err)
	var file struct {
		Receivers map[string]struct{ Include []string }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	include := file.Receivers["otlpjsonfile"].Include
	require.Len(t, include, 1)
	for _, name := range []string{trace.FileName, trace.OldFileName} {
		matched, err := filepath.Match(include[0], filepath.Join(rundir.TracesPath(rundir.Root), name))
		require.NoError(t, err)
		require.True(t, matched, name)
	}
}
