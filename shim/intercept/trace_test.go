// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/otelttrpc"
	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kata-tes/kata-tes/agentproto/traceparent"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/proxy"
	"github.com/kata-tes/kata-tes/shim/trace"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// traced is a pod whose shim is reached as containerd reaches it: by ttrpc
// through the proxy, with containerd's own tracing, in front of a stand-in for
// Kata's shim.
type traced struct {
	*pod
	client *ttrpc.Client
	tracer oteltrace.Tracer
	// containerd are containerd's spans.
	containerd *tracetest.InMemoryExporter

	mu sync.Mutex
	// toKata and toGuest are the headers of their calls.
	toKata, toGuest []string
}

func newTraced(t *testing.T, on bool) *traced {
	t.Helper()
	p := &traced{pod: newPodWith(t, unhurried, func(s *config.Settings) { s.Traces = on })}
	p.guest.set(func(g *fakeGuest) { g.onPrepare = p.heardByGuest })
	inner := filepath.Join(filepath.Dir(p.port.path), "inner")
	server, err := ttrpc.NewServer()
	require.NoError(t, err)
	server.RegisterService("containerd.task.v3.Task", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{"Create": p.createInKata}})
	listener, err := net.Listen("unix", inner)
	require.NoError(t, err)
	go func() { _ = server.Serve(context.Background(), listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })

	shim, err := proxy.New(t.Context(), proxy.Options{Inner: "unix://" + inner, Hook: p.interceptor, Log: logrus.NewEntry(logrus.New())})
	require.NoError(t, err)
	outer, err := net.Listen("unix", inner+".outer")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- shim.Serve(ctx, outer) }()

	p.containerd = tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(p.containerd))
	p.tracer = provider.Tracer("containerd")
	conn, err := net.Dial("unix", inner+".outer")
	require.NoError(t, err)
	p.client = ttrpc.NewClient(conn, ttrpc.WithUnaryClientInterceptor(otelttrpc.UnaryClientInterceptor(
		otelttrpc.WithTracerProvider(provider), otelttrpc.WithPropagators(propagation.TraceContext{}))))
	t.Cleanup(func() {
		require.NoError(t, p.client.Close())
		stop()
		require.ErrorIs(t, <-served, context.Canceled)
		require.NoError(t, provider.Shutdown(context.Background()))
	})
	return p
}

func (p *traced) createInKata(ctx context.Context, unmarshal func(any) error) (any, error) {
	header, _ := ttrpc.GetMetadataValue(ctx, traceparent.Key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toKata = append(p.toKata, header)
	return &task.CreateTaskResponse{}, unmarshal(&task.CreateTaskRequest{})
}

func (p *traced) heardByGuest(ctx context.Context) error {
	header, _ := ttrpc.GetMetadataValue(ctx, traceparent.Key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toGuest = append(p.toGuest, header)
	return nil
}

// call is a Create as containerd makes it.
func (p *traced) call(ctx context.Context, devices ...string) error {
	p.t.Helper()
	id, bundle := p.bundle("container", devices...)
	return p.client.Call(ctx, "containerd.task.v3.Task", "Create", &task.CreateTaskRequest{ID: id, Bundle: bundle}, &task.CreateTaskResponse{})
}

// spans are what the collector reads of the node's file, by service and name.
func (p *traced) spans() map[string]ptrace.Span {
	p.t.Helper()
	p.interceptor.traces.Close()
	text, err := os.ReadFile(filepath.Join(rundir.TracesPath(p.runRoot), trace.FileName))
	require.NoError(p.t, err)
	all := map[string]ptrace.Span{}
	for line := range strings.Lines(string(text)) {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(line))
		require.NoError(p.t, err)
		for _, of := range traces.ResourceSpans().All() {
			service, found := of.Resource().Attributes().Get("service.name")
			require.True(p.t, found)
			for _, in := range of.ScopeSpans().All() {
				for _, span := range in.Spans().All() {
					all[service.Str()+": "+span.Name()] = span
				}
			}
		}
	}
	return all
}

const (
	ofShim  = "containerd-shim-kata-tes-v2: "
	ofGuest = "kata-tes-agent: "
)

// requireBelow checks that a span is another one's child, and within its time.
func requireBelow(t *testing.T, all map[string]ptrace.Span, parent string, children ...string) {
	t.Helper()
	require.Contains(t, all, parent)
	above := all[parent]
	for _, name := range children {
		require.Contains(t, all, name)
		span := all[name]
		require.Equal(t, above.TraceID(), span.TraceID(), name)
		require.Equal(t, above.SpanID(), span.ParentSpanID(), name)
		require.LessOrEqual(t, above.StartTimestamp(), span.StartTimestamp(), name)
		require.LessOrEqual(t, span.StartTimestamp(), span.EndTimestamp(), name)
		require.GreaterOrEqual(t, above.EndTimestamp(), span.EndTimestamp(), name)
	}
}

// TestTheTraceOfACreate: containerd's trace goes on in the shim and in the
// guest, and Kata's shim gets what containerd sent.
func TestTheTraceOfACreate(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newTraced(t, true)
	p.guest.set(func(g *fakeGuest) {
		g.steps = []*agentv1.Step{{Name: "format", Took: durationpb.New(time.Microsecond)}, {Name: "mkfs", Took: durationpb.New(time.Hour)}}
	})
	require.NoError(t, p.call(t.Context(), entry(disk.n)))
	all := p.spans()

	require.Len(t, p.containerd.GetSpans(), 1)
	containerd := p.containerd.GetSpans()[0].SpanContext
	create := all[ofShim+"kata-tes Create"]
	require.EqualValues(t, containerd.TraceID(), create.TraceID())
	require.EqualValues(t, containerd.SpanID(), create.ParentSpanID())
	require.Equal(t, ptrace.SpanKindServer, create.Kind())
	id, _ := create.Attributes().Get(trace.Container)
	require.Equal(t, "container-1", id.Str())

	requireBelow(t, all, ofShim+"kata-tes Create", ofShim+"preparation", ofShim+"rewrite")
	requireBelow(t, all, ofShim+"preparation", ofShim+"open", ofShim+"find", ofShim+"version", ofShim+"attach", ofShim+"prepare")
	requireBelow(t, all, ofShim+"prepare", ofGuest+"kata-tes-agent Prepare")
	requireBelow(t, all, ofGuest+"kata-tes-agent Prepare", ofGuest+"format", ofGuest+"mkfs")
	require.LessOrEqual(t, all[ofGuest+"format"].EndTimestamp(), all[ofGuest+"mkfs"].StartTimestamp())
	require.Len(t, all, 11)
	for name, span := range all {
		require.Equal(t, ptrace.StatusCodeUnset, span.Status().Code(), name)
	}

	require.Equal(t, []string{header(containerd.TraceID(), containerd.SpanID())}, p.toKata, "as containerd sent it")
	prepare := all[ofShim+"prepare"]
	require.Equal(t, []string{header(prepare.TraceID(), prepare.SpanID())}, p.toGuest)
	require.Equal(t, ptrace.SpanKindClient, prepare.Kind())
}

func header(traceID [16]byte, spanID [8]byte) string {
	return traceparent.Context{Trace: traceID, Span: spanID, Sampled: true}.String()
}

// TestTheTraceOfARefusal: the span that failed says why, and so do those above
// it; what the guest did until then is there.
func TestTheTraceOfARefusal(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newTraced(t, true)
	refusal, err := status.New(codes.Internal, "mkfs: no\x1b[2J room").WithDetails(&agentv1.Refusal{Steps: []*agentv1.Step{{Name: "format"}, {Name: "mkfs"}}})
	require.NoError(t, err)
	p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(refusal.Err()) })
	requireRefused(t, p.call(t.Context(), entry(disk.n)), codes.Internal, "mkfs: no")
	all := p.spans()
	for _, name := range []string{ofShim + "kata-tes Create", ofShim + "preparation", ofShim + "prepare", ofGuest + "kata-tes-agent Prepare", ofGuest + "mkfs"} {
		require.Contains(t, all, name)
		require.Equal(t, ptrace.StatusCodeError, all[name].Status().Code(), name)
	}
	create := all[ofShim+"kata-tes Create"]
	require.Contains(t, create.Status().Message(), "mkfs: no [2J room")
	word, _ := create.Attributes().Get(trace.ErrorType)
	require.Equal(t, "guest_internal", word.Str())
	require.Equal(t, ptrace.StatusCodeUnset, all[ofGuest+"format"].Status().Code())
	requireBelow(t, all, ofShim+"preparation", ofShim+"undo")
	require.Empty(t, p.toKata)
	p.requireUndone()
}

// TestASecondCallerIsLinked: who joins a preparation has a trace of its own,
// with a link to the one that has the steps.
func TestASecondCallerIsLinked(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newTraced(t, true)
	begun, goOn := make(chan struct{}), make(chan struct{})
	p.guest.set(func(g *fakeGuest) {
		g.onPrepare = func(context.Context) error { close(begun); <-goOn; return nil }
	})
	first := make(chan error, 1)
	go func() { first <- p.call(t.Context(), entry(disk.n)) }()
	<-begun
	// It gives up at once, which tells that it has joined.
	ctx, cancel := context.WithCancel(traceparent.NewContext(t.Context(), traceparent.Context{Trace: [16]byte{1}, Span: [8]byte{2}, Sampled: true}))
	cancel()
	id, bundle := p.bundle("container", entry(disk.n))
	requireRefused(t, p.interceptor.Create(ctx, id, bundle), codes.Canceled, "goes on")
	p.interceptor.traces.Close()
	lone := p.spans()[ofShim+"kata-tes Create"]
	require.EqualValues(t, [16]byte{1}, lone.TraceID())
	require.Equal(t, 1, lone.Links().Len())
	close(goOn)
	require.NoError(t, <-first)
	preparation := p.spans()[ofShim+"preparation"]
	require.Equal(t, preparation.TraceID(), lone.Links().At(0).TraceID())
	require.Equal(t, preparation.SpanID(), lone.Links().At(0).SpanID())
}

// TestNothingIsTraced where nobody asked for it: not in the configuration, or
// not in the call.
func TestNothingIsTraced(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	for name, test := range map[string]struct {
		on  bool
		ctx func(context.Context, *traced) context.Context
	}{
		"off": {false, func(ctx context.Context, p *traced) context.Context {
			ctx, span := p.tracer.Start(ctx, "kubelet")
			t.Cleanup(func() { span.End() })
			return ctx
		}},
		"not sampled": {true, func(ctx context.Context, _ *traced) context.Context {
			unsampled := oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{1}})
			return oteltrace.ContextWithSpanContext(ctx, unsampled)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTraced(t, test.on)
			require.NoError(t, p.call(test.ctx(t.Context(), p), entry(disk.n)))
			p.interceptor.traces.Close()
			require.NoDirExists(t, rundir.TracesPath(p.runRoot))
			require.Equal(t, []string{""}, p.toGuest)
			require.Len(t, p.toKata, 1)
			require.NotEmpty(t, p.toKata[0], "what containerd says passes all the same")
		})
	}
}
