// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package attacks

import "google.golang.org/grpc/codes"

// hungUp is how the guest answers to what is no frame of ours.
const hungUp = "the guest hangs up without an answer; the next connection is served"

// callRows are calls in the wrong order, and bytes that are no calls.
var callRows = []Group{
	{"prepare", "Prepare, in any order", []Attack{
		{ID: "unknown-store", Host: "names a store that the guest's configuration doesn't have, a path among them", Must: "nothing is begun", Gain: "a store with settings of its choice", Code: codes.InvalidArgument, Says: "has no store"},
		{ID: "twice", Host: "asks twice for the same store on the same disk", Must: "the same answer; the files in the store stay", Gain: "a store that is formatted under running containers"},
		{ID: "at-once", Host: "asks eight times at once", Must: "one preparation, eight equal answers", Gain: "two preparations that undo each other"},
		{ID: "other-disk", Host: "asks for a ready store on a second disk", Must: "the second disk is not touched, the files in the store stay", Gain: "a second store over the first", Code: codes.AlreadyExists, Says: "the store is on another disk"},
		{ID: "other-disk-meanwhile", Rest: true, Host: "asks for it on a second disk while it is being made", Must: "the second disk is not touched, the first preparation succeeds", Gain: "the check of one disk for the use of another", Code: codes.AlreadyExists, Says: "the store is on another disk"},
		{ID: "deadline", Host: "sets a deadline that passes in the middle", Must: "all is undone", Gain: "half a store", Code: codes.DeadlineExceeded},
		{ID: "deadline-tiny", Host: "sets deadlines of 1 ns, 1 µs, 1 ms", Must: "all is undone", Gain: "half a store", Code: codes.DeadlineExceeded},
		{ID: "deadline-endless", Rest: true, Host: "sets a deadline of 292 years, without a disk", Must: "the guest's own limit ends it", Gain: "a call that occupies the guest for good", Code: codes.NotFound},
		{ID: "hang-up", Host: "hangs up in the middle", Must: "the preparation is cancelled and undone", Gain: "half a store"},
		{ID: "more-fields", Host: "sends fields that the contract doesn't have: cipher, mount point, options", Must: "they are ignored; the store is as the guest is configured", Gain: "a store with settings of its choice"},
	}},
	{"release", "Release, in any order", []Attack{
		{ID: "overlay", Host: "asks for Release while a container's root lies on the store", Must: "the store and its files stay", Gain: "containers without their files, a new store under them", Code: codes.FailedPrecondition, Says: "in use"},
		{ID: "open-file", Host: "asks for Release while a file is open", Must: "the store and its files stay", Gain: "as above", Code: codes.FailedPrecondition, Says: "in use"},
		{ID: "wrong-marker", Rest: true, Host: "asks for Release with another marker, or one of an earlier preparation", Must: "the store and its files stay", Gain: "as above", Code: codes.FailedPrecondition, Says: "the store is on another disk"},
		{ID: "while-preparing", Host: "asks for Release while the store is being made", Must: "Prepare ends, all is undone, then Release answers", Gain: "a store that is half released", Code: codes.Canceled, Says: "released while it was being prepared"},
		{ID: "nothing", Host: "asks for Release of what was never prepared", Must: "nothing happens", Gain: "something else is closed"},
	}},
	{"call", "Connections and frames", []Attack{
		{ID: "flood", Host: "opens 400 connections and keeps them", Must: "all but 16 are hung up on; descriptors and memory stay bounded; with the flood's end it serves again", Gain: "the guest's memory or descriptors"},
		{ID: "half-open", Host: "opens 16 connections and sends half a header on each", Must: "they are kept until they are idle for too long; with their end it serves again", Gain: "as above. (Meanwhile nobody is served: a host can always not call.)"},
		{ID: "calls", Host: "sends 24 calls at once on one connection", Must: "16 are worked on, the others are refused", Gain: "as above", Code: codes.ResourceExhausted, Says: "calls at a time"},
		{ID: "oversized", Host: "announces a frame of 4 MiB", Must: hungUp, Gain: "memory for what never comes"},
		{ID: "truncated", Host: "announces 100 bytes, sends 10 and hangs up", Must: "the connection ends; the next one is served", Gain: "a guest that waits for good"},
		{ID: "garbage", Host: "speaks HTTP, TLS and noise", Must: hungUp, Gain: "a parser that falls over"},
		{ID: "data-frame", Host: "sends a data frame for a call that has no stream", Must: hungUp, Gain: "an agent extension that panics: it did, before frames were checked"},
		{ID: "frame-type", Host: "sends a response, and frames of unknown types", Must: hungUp, Gain: "as above"},
		{ID: "even-stream", Host: "sends a request with an even stream number", Must: "an error for that stream", Gain: "answers to the wrong call", Code: codes.InvalidArgument, Says: "must be odd"},
		{ID: "same-stream", Host: "uses a stream's number twice", Must: "an error for that stream", Gain: "answers to the wrong call", Code: codes.InvalidArgument, Says: "cannot be re-used"},
		{ID: "request", Host: "sends a frame that is no request", Must: "an error for that stream", Gain: "a parser that falls over", Code: codes.InvalidArgument, Says: "unmarshal request error"},
		{ID: "payload", Host: "sends a request whose payload is no message of ours", Must: "an error for that stream", Gain: "a parser that falls over", Code: codes.Internal, Says: "error unmarshalling payload"},
		{ID: "service", Host: "calls services that the guest doesn't have, Kata's agent among them", Must: "nothing is done", Gain: "methods that nobody meant to serve", Code: codes.Unimplemented, Says: "service"},
		{ID: "method", Host: "calls a method that the service doesn't have", Must: "nothing is done", Gain: "as above", Code: codes.Unimplemented, Says: "method"},
		{ID: "metadata", Host: "sends 64 KiB of metadata", Must: hungUp, Gain: "memory"},
		{ID: "local", Host: "(a container in the guest) connects by the guest's own vsock address, by the local one, and from the host's", Must: "hung up on before a byte is read; nobody listens at the local address; the host's can't be taken", Gain: "containers that take the pod's store away"},
	}},
	{"pull", "Prepare during and after pulls, with a real container", []Attack{
		{ID: "during", Host: "calls while the guest pulls and unpacks an image", Must: "the container starts, on its own files", Gain: "an image half in memory and half on the disk, or replaced", Code: codes.FailedPrecondition, Says: "contains"},
		{ID: "after", Host: "calls when containers run", Must: "they run on, on their own files", Gain: "images that containers run on replaced by others", Code: codes.FailedPrecondition, Says: "contains"},
	}},
}
