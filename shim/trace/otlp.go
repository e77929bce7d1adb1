// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kata-tes/kata-tes/agentproto/traceparent"
)

// What follows is OTLP's JSON (opentelemetry-proto, trace/v1/trace.proto and
// docs/specification.md, "JSON Protobuf Encoding"): names in lowerCamelCase, ids
// in hexadecimal, enumerations as numbers, 64-bit numbers as strings.
type (
	tracesData struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope      `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	otlpSpan struct {
		TraceID      string     `json:"traceId"`
		SpanID       string     `json:"spanId"`
		ParentSpanID string     `json:"parentSpanId"`
		Flags        uint32     `json:"flags"`
		Name         string     `json:"name"`
		Kind         int        `json:"kind"`
		Start        string     `json:"startTimeUnixNano"`
		End          string     `json:"endTimeUnixNano"`
		Attributes   []keyValue `json:"attributes,omitempty"`
		Links        []link     `json:"links,omitempty"`
		Status       *status    `json:"status,omitempty"`
	}
	link struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
		Flags   uint32 `json:"flags"`
	}
	status struct {
		Code    int    `json:"code"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String string `json:"stringValue"`
	}
)

// Numbers of trace.proto: SpanFlags, of which the lowest bit is W3C's, and
// Status.StatusCode.
const (
	flagSampled   = 1
	flagRemoteSet = 0x100
	flagRemote    = 0x200
	statusError   = 2
)

// The services that the spans are of.
const (
	shimService  = "containerd-shim-kata-tes-v2"
	guestService = "kata-tes-agent"
	scopeName    = "github.com/kata-tes/kata-tes/shim/trace"
	// prefix is before our own attributes.
	prefix = "kata_tes."
)

// maxText bounds a name, a message or an attribute, in bytes.
const maxText = 1024

// encode makes one line of the spans: those of the shim, and those of the guest,
// which is a service of its own.
func (r *Recorder) encode(spans []*Span) ([]byte, error) {
	var data tracesData
	for _, inGuest := range []bool{false, true} {
		var of []otlpSpan
		for _, s := range spans {
			if s.inGuest == inGuest {
				of = append(of, s.otlp())
			}
		}
		if len(of) > 0 {
			data.ResourceSpans = append(data.ResourceSpans, resourceSpans{
				Resource:   r.resource(inGuest),
				ScopeSpans: []scopeSpans{{Scope: scope{Name: scopeName, Version: r.Version}, Spans: of}},
			})
		}
	}
	line, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding spans: %w", err)
	}
	return append(line, '\n'), nil
}

func (r *Recorder) resource(inGuest bool) resource {
	if inGuest {
		return resource{[]keyValue{pair("service.name", guestService), pair(prefix+"sandbox", r.Sandbox)}}
	}
	return resource{[]keyValue{
		pair("service.name", shimService), pair("service.version", r.Version), pair("host.name", r.Host), pair(prefix+"sandbox", r.Sandbox),
	}}
}

func (s *Span) otlp() otlpSpan {
	out := otlpSpan{
		TraceID: hex.EncodeToString(s.place.Trace[:]), SpanID: hex.EncodeToString(s.place.Span[:]), ParentSpanID: hex.EncodeToString(s.parent[:]),
		Flags: flagSampled | flagRemoteSet, Name: bounded(s.name), Kind: s.kind, Start: nano(s.began), End: nano(s.ended),
	}
	if s.remote {
		out.Flags |= flagRemote
	}
	for _, a := range s.attributes {
		out.Attributes = append(out.Attributes, pair(a.key, a.value))
	}
	for _, to := range s.links {
		out.Links = append(out.Links, linkTo(to))
	}
	if s.failed {
		out.Status = &status{Code: statusError, Message: bounded(s.failure)}
	}
	return out
}

func linkTo(to traceparent.Context) link {
	return link{TraceID: hex.EncodeToString(to.Trace[:]), SpanID: hex.EncodeToString(to.Span[:]), Flags: flagSampled | flagRemoteSet}
}

func pair(key, text string) keyValue { return keyValue{Key: key, Value: value{bounded(text)}} }

func nano(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// bounded is a text that has no end of its own: a guest's, or an error's. Whole
// characters of it, printable ones.
func bounded(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
