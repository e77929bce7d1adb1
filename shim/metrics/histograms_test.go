// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// parsed is the file as Prometheus reads it, without a word of its linter's.
func parsed(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	return families
}

// of is the histogram with a step; "" for one without label.
func of(t *testing.T, family *dto.MetricFamily, step string) *dto.Histogram {
	t.Helper()
	require.Equal(t, dto.MetricType_HISTOGRAM, family.GetType())
	for _, m := range family.GetMetric() {
		if step == "" && len(m.GetLabel()) == 0 || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == step {
			return m.GetHistogram()
		}
	}
	t.Fatalf("%s has no step %q", family.GetName(), step)
	return nil
}

func TestPrometheusReadsIt(t *testing.T) {
	families := parsed(t, zeros+format(callsFile.add(nil, nil)))
	for _, d := range Describe() {
		family := families[d.Name]
		require.NotNil(t, family, d.Name)
		require.Equal(t, d.Kind, strings.ToLower(family.GetType().String()))
		require.Equal(t, d.Help, family.GetHelp())
		require.Len(t, family.GetMetric(), max(1, len(d.Values)))
	}
	require.Len(t, families, len(Describe()), "and no other")
}

// What is observed by several shims is what Prometheus finds.
func TestHistograms(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	log, hook := logger()
	const shims = 8
	var measuring sync.WaitGroup
	for range shims {
		measuring.Go(func() {
			n := Open(root, log)
			n.Observe(StepDuration, "attach", 30*time.Millisecond)
			n.Observe(StepDuration, "attach", 100*time.Millisecond)
			n.Observe(StepDuration, "attach", time.Hour)
			n.Observe(StepDuration, "attach", -time.Second)
			n.Observe(PreparationDuration, "", 1500*time.Millisecond)
			n.Observe(GuestStepDuration, `made up by the guest"}`, time.Second)
			n.AddMany(PreparedBytes, "", 5<<40)
			n.Close()
		})
	}
	measuring.Wait()
	require.Empty(t, hook.AllEntries())
	text := content(t, root)
	families := parsed(t, text)

	attach := of(t, families[StepDuration.name], "attach")
	require.EqualValues(t, 4*shims, attach.GetSampleCount())
	require.InDelta(t, shims*3600.13, attach.GetSampleSum(), 1e-6, "a clock that went back counts as nothing")
	got := map[float64]uint64{}
	for _, b := range attach.GetBucket() {
		got[b.GetUpperBound()] = b.GetCumulativeCount() / shims
	}
	require.Equal(t, map[float64]uint64{
		0.01: 1, 0.025: 1, 0.05: 2, 0.1: 3, 0.25: 3, 0.5: 3, 1: 3, 2.5: 3, 5: 3, 10: 3, 30: 3, 60: 3, 120: 3, math.Inf(1): 4,
	}, got, "a bound belongs to its bucket")
	require.EqualValues(t, shims, of(t, families[PreparationDuration.name], "").GetSampleCount())
	require.EqualValues(t, 5*shims<<40, families[PreparedBytes.name].GetMetric()[0].GetCounter().GetValue())
	require.NotContains(t, text, "made up")
	require.Less(t, len(text), maxText/3)
	require.Equal(t, strings.Count(zeros, "\n"), strings.Count(text, "\n"))
}

// An earlier release has no histograms and counts beside ours: it reads what it
// finds as this one does, a whole number as such.
func TestAnEarlierReleaseBesideUs(t *testing.T) {
	const earlier = "# HELP kata_tes_stores_prepared_total Trusted stores that were made ready on this node.\n" +
		"# TYPE kata_tes_stores_prepared_total counter\nkata_tes_stores_prepared_total 4\n"
	all, err := parse(earlier)
	require.NoError(t, err)
	pending := map[string]float64{StoresPrepared.series(""): 1, PreparedBytes.series(""): 1 << 50}
	StepDuration.observe(pending, "open", 250*time.Microsecond)
	text := format(eventsFile.add(all, pending))
	require.Contains(t, text, "\nkata_tes_stores_prepared_total 5\n")
	require.Contains(t, text, "\nkata_tes_stores_prepared_bytes_total 1125899906842624\n", "no exponent")
	require.Contains(t, text, "\nkata_tes_preparation_step_duration_seconds_sum{step=\"open\"} 0.00025\n")
	parsed(t, text)
}

// Numbers that no release writes don't spoil what is counted on top.
func TestValuesOfNobody(t *testing.T) {
	for _, value := range []string{"NaN", "+Inf", "-1", "1e300"} {
		all, err := parse("# TYPE kata_tes_stores_prepared_total counter\nkata_tes_stores_prepared_total " + value + "\n")
		require.NoError(t, err)
		require.Contains(t, format(eventsFile.add(all, map[string]float64{StoresPrepared.series(""): 1})), "\nkata_tes_stores_prepared_total 1\n")
	}
}

func TestForwardedCalls(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	log, hook := logger()
	n := Open(root, log)
	n.await()
	for range 1000 {
		n.Forwarded()
	}
	require.Contains(t, calls(t, root), "\nkata_tes_forwarded_calls_total 0\n", "no write for a call")
	require.NotNil(t, n.collector, "but one to come")

	n.Add(StoresPrepared, "")
	n.await()
	require.Contains(t, calls(t, root), "\nkata_tes_forwarded_calls_total 1000\n", "with the next event")

	n.Forwarded()
	n.collect()
	n.await()
	require.Contains(t, calls(t, root), "\nkata_tes_forwarded_calls_total 1001\n", "when the minute is over")
	before := calls(t, root)
	parsed(t, before)
	n.collect()
	n.await()
	require.Equal(t, before, calls(t, root))

	n.Forwarded()
	n.Close()
	require.Contains(t, calls(t, root), "\nkata_tes_forwarded_calls_total 1002\n", "at the end")
	require.False(t, n.collector.Stop(), "no timer is left")
	require.Empty(t, hook.AllEntries())
	var nobody *Node
	nobody.Forwarded()
	nobody.Observe(PreparationDuration, "", time.Second)
}

// Nothing is lost and nothing counted twice, whoever collects.
func TestForwardedAtOnce(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	log, _ := logger()
	n := Open(root, log)
	const callers, each = 8, 500
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				n.Forwarded()
			}
			n.collect()
		})
	}
	all.Wait()
	n.Close()
	require.Contains(t, calls(t, root), "\nkata_tes_forwarded_calls_total 4000\n")
}

func BenchmarkForwarded(b *testing.B) {
	log, _ := logger()
	n := Open(b.TempDir(), log)
	defer n.Close()
	b.ReportAllocs()
	for b.Loop() {
		n.Forwarded()
	}
}

func BenchmarkMergeCalls(b *testing.B) {
	root := b.TempDir()
	log, _ := logger()
	b.ReportAllocs()
	for b.Loop() {
		if err := merge(root, map[string]float64{ForwardedCalls.series(""): 1}, log); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	root := b.TempDir()
	log, _ := logger()
	b.ReportAllocs()
	for b.Loop() {
		if err := merge(root, map[string]float64{StoresPrepared.series(""): 1}, log); err != nil {
			b.Fatal(err)
		}
	}
}
