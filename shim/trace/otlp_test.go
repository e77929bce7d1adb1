// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kata-tes/kata-tes/agentproto/traceparent"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

var caller = traceparent.Context{Trace: [16]byte{0xaf, 15: 1}, Span: [8]byte{0xb7, 7: 2}, Sampled: true}

func newRecorder(t *testing.T) (*Recorder, *logtest.Hook) {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	return New(Options{
		Root: filepath.Join(t.TempDir(), "run"), Sandbox: "sandbox", Version: "v1", Host: "node", Log: logrus.NewEntry(log),
	}), hook
}

func (r *Recorder) path(name string) string { return filepath.Join(rundir.TracesPath(r.Root), name) }

// lines are the file's.
func (r *Recorder) lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(r.path(name))
	require.NoError(t, err)
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

// decode reads a line by the mapping of OTLP's own messages, which refuses what
// is not in them. (Of ids it expects base64, which OTLP has as hexadecimal: a
// text of one is a text of the other, and is taken back here.)
func decode(t *testing.T, line string) map[string]*tracepb.Span {
	t.Helper()
	var data tracepb.TracesData
	require.NoError(t, protojson.Unmarshal([]byte(line), &data))
	_, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(line))
	require.NoError(t, err, "the collector's receiver")
	all := map[string]*tracepb.Span{}
	for _, of := range data.GetResourceSpans() {
		for _, in := range of.GetScopeSpans() {
			for _, span := range in.GetSpans() {
				all[span.GetName()] = span
			}
		}
	}
	return all
}

func id(t *testing.T, b []byte) string {
	t.Helper()
	text := base64.StdEncoding.EncodeToString(b)
	_, err := hex.DecodeString(text)
	require.NoError(t, err)
	require.Equal(t, strings.ToLower(text), text)
	return text
}

func TestALineIsOTLP(t *testing.T) {
	r, hook := newRecorder(t)
	create := r.Begin(traceparent.NewContext(t.Context(), caller), "Create")
	create.Set(Container, "c")
	step := create.Child("attach")
	step.End(errors.New("no bus"))
	call := create.Child("prepare")
	sent, ok := traceparent.Parse(call.Call())
	require.True(t, ok)
	call.Guest("Prepare", []Step{{"format", time.Nanosecond}, {"mkfs", time.Nanosecond}}, nil)
	call.End(nil)
	create.Link(call)
	create.End(nil)
	r.Flush()
	r.Close()
	require.Empty(t, hook.AllEntries())
	lines := r.lines(t, FileName)
	require.Len(t, lines, 1)
	all := decode(t, lines[0])
	require.Len(t, all, 6)
	traceID := hex.EncodeToString(caller.Trace[:])
	for name, parent := range map[string]string{
		"Create": hex.EncodeToString(caller.Span[:]), "attach": id(t, all["Create"].GetSpanId()), "prepare": id(t, all["Create"].GetSpanId()),
		"Prepare": hex.EncodeToString(sent.Span[:]), "format": id(t, all["Prepare"].GetSpanId()), "mkfs": id(t, all["Prepare"].GetSpanId()),
	} {
		require.Equal(t, traceID, id(t, all[name].GetTraceId()), name)
		require.Equal(t, parent, id(t, all[name].GetParentSpanId()), name)
		remote := name == "Create" || name == "Prepare"
		require.Equal(t, remote, all[name].GetFlags()&uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK) != 0, name)
		require.NotZero(t, all[name].GetFlags()&uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK))
		require.LessOrEqual(t, all[name].GetStartTimeUnixNano(), all[name].GetEndTimeUnixNano())
		require.InDelta(t, time.Now().UnixNano(), all[name].GetEndTimeUnixNano(), float64(time.Hour))
	}
	require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, all["Create"].GetKind())
	require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, all["prepare"].GetKind())
	require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, all["Prepare"].GetKind())
	require.Equal(t, tracepb.Span_SPAN_KIND_INTERNAL, all["mkfs"].GetKind())
	require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, all["attach"].GetStatus().GetCode())
	require.Equal(t, "no bus", all["attach"].GetStatus().GetMessage())
	require.Equal(t, Container, all["Create"].GetAttributes()[0].GetKey())
	require.Equal(t, id(t, all["prepare"].GetSpanId()), id(t, all["Create"].GetLinks()[0].GetSpanId()))
}

// What a guest, or an error, can put into a line has bounds.
func TestTextIsBounded(t *testing.T) {
	r, _ := newRecorder(t)
	create := r.Begin(traceparent.NewContext(t.Context(), caller), "Create")
	for range 100 {
		create.Set("k", strings.Repeat("é", 1<<20))
	}
	create.Guest(strings.Repeat("x\n", 1<<20), []Step{{"\xff\x00\x1b[2J", time.Hour}}, errors.New(strings.Repeat("\u202e", 1<<20)))
	create.End(nil)
	line, err := r.encode(r.pending)
	require.NoError(t, err)
	require.Less(t, maxInLine/len(r.pending)*len(line), 1<<20, "the collector's limit for a line")
	require.True(t, utf8.Valid(line))
	require.Equal(t, 1, strings.Count(string(line), "\n"))
	require.Contains(t, decode(t, string(line)), "\uFFFD  [2J")
}

// A guest that says more than it can have done changes nothing outside its call.
func TestGuestStepsStayInTheCall(t *testing.T) {
	r, _ := newRecorder(t)
	call := r.Begin(traceparent.NewContext(t.Context(), caller), "call")
	call.Guest("Prepare", []Step{{"a", 200 * 365 * 24 * time.Hour}, {"b", time.Hour}, {"c", 0}}, nil)
	call.End(nil)
	for _, s := range r.pending {
		require.False(t, s.began.Before(call.began), s.name)
		require.False(t, s.ended.Before(s.began), s.name)
		require.False(t, s.ended.After(call.ended), s.name)
	}
}

// FuzzLine: whatever a guest says of its steps, or an error says, the line is one
// line and OTLP, and the spans are within their call.
func FuzzLine(f *testing.F) {
	f.Add("mkfs", int64(time.Second), "no room\nat all")
	f.Add("\xff\x00\"}]}", int64(-1), "\u2028\x1b[2J")
	f.Add("", int64(1<<63-1), "")
	f.Add(strings.Repeat("\xfe", 2*maxText), int64(-14), "0")
	f.Fuzz(func(t *testing.T, name string, took int64, failure string) {
		r, _ := newRecorder(t)
		call := r.Begin(traceparent.NewContext(t.Context(), caller), "call")
		call.Set(Container, name)
		// Told apart by what long names keep.
		call.Guest("!"+name, []Step{{"first", time.Duration(took)}, {"?" + name, time.Duration(took)}}, errors.New(failure))
		call.End(errors.New(failure))
		line, err := r.encode(r.pending)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(line), "\n"))
		require.True(t, utf8.Valid(line))
		require.Len(t, decode(t, string(line)), 4)
		for _, s := range r.pending {
			require.False(t, s.began.Before(call.began), s.name)
			require.False(t, s.ended.Before(s.began), s.name)
			require.False(t, s.ended.After(call.ended), s.name)
		}
	})
}

func TestNobodyTraces(t *testing.T) {
	var off *Recorder
	r, _ := newRecorder(t)
	unsampled := caller
	unsampled.Sampled = false
	for _, s := range []*Span{
		off.Begin(traceparent.NewContext(t.Context(), caller), "Create"),
		r.Begin(t.Context(), "Create"),
		r.Begin(traceparent.NewContext(t.Context(), unsampled), "Create"),
		FromContext(t.Context()),
	} {
		require.Nil(t, s)
		s.Set("k", "v")
		s.Link(s.Child("child"))
		s.Guest("Prepare", []Step{{"a", 0}}, nil)
		require.Empty(t, s.Call())
		s.End(nil)
		s.Flush()
		require.Equal(t, t.Context(), NewContext(t.Context(), s))
	}
	off.Flush()
	off.Close()
	r.Close()
	require.NoDirExists(t, rundir.TracesPath(r.Root))
}
