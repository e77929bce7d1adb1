// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The test binary is three programs: the tests, our shim (under the name that
// `start` executes again for the serving process), and a stand-in for the
// inner shim.
const (
	oursVariable = "KATA_TES_TEST_SHIM"
	innerName    = "containerd-shim-stand-in-v2"
)

func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == innerName:
		os.Exit(report(standIn(os.Args[1:])))
	case os.Getenv(oursVariable) != "":
		os.Exit(report(Program{
			Version:    "test",
			NewHook:    newTestHook,
			ConfigPath: os.Getenv("KATA_TES_CONFIG"),
			RunRoot:    os.Getenv("TEST_RUN_ROOT"),
			Stdin:      os.Stdin,
			Stdout:     os.Stdout,
		}.Run(context.Background(), os.Args[1:])))
	}
	os.Exit(m.Run())
}

func report(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// testHook refuses containers whose name says so.
type testHook struct{ Sandbox }

func newTestHook(s Sandbox) (Hook, error) {
	if os.Getenv("TEST_HOOK") == "fail" {
		return nil, errors.New("no hook today")
	}
	return testHook{s}, nil
}

func (h testHook) Create(_ context.Context, id, bundle string) error {
	h.Log.WithField("bundle", bundle).Infof("asked for %s", id)
	if id == "refused" {
		return status.Error(codes.FailedPrecondition, "not this one")
	}
	return nil
}

func (testHook) Killed() {}

func (testHook) Close() error { return nil }
