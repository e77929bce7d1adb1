// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sh = "/bin/sh"

func TestSuccess(t *testing.T) {
	require.NoError(t, Real{}.Run(t.Context(), nil, sh, "-c", "exit 0"))
}

func TestFailureSaysWhatWasPrinted(t *testing.T) {
	err := Real{}.Run(t.Context(), nil, sh, "-c", "echo out; echo err >&2; exit 3")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 3, exit.ExitCode())
	require.ErrorContains(t, err, "out\nerr")
	require.ErrorContains(t, err, "sh")
	require.NotContains(t, err.Error(), "exit 3")
}

func TestFailureWithoutOutput(t *testing.T) {
	err := Real{}.Run(t.Context(), nil, sh, "-c", "exit 1")
	require.ErrorContains(t, err, "it printed nothing")
}

func TestMissingProgram(t *testing.T) {
	err := Real{}.Run(t.Context(), nil, "/nonexistent/cryptsetup", "luksFormat", "--header", "x")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "running cryptsetup luksFormat:")
}

func TestOutputIsBounded(t *testing.T) {
	err := Real{}.Run(t.Context(), nil, sh, "-c", "yes | head -c 1000000; echo the end; exit 1")
	require.ErrorContains(t, err, "the end")
	require.Less(t, len(err.Error()), maxOutput+200)
}

func TestStandardInput(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = w.WriteString("secret")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	defer func() { require.NoError(t, r.Close()) }()
	require.NoError(t, Real{}.Run(t.Context(), r, sh, "-c", `[ "$(cat)" = secret ]`))
}

func TestNoStandardInput(t *testing.T) {
	require.NoError(t, Real{}.Run(t.Context(), nil, sh, "-c", `[ -z "$(cat)" ]`))
}

func TestEnvironment(t *testing.T) {
	t.Setenv("CANARY", "1")
	dir := t.TempDir()
	out := filepath.Join(dir, "env")
	environment := func(r Real) []string {
		require.NoError(t, r.Run(t.Context(), nil, sh, "-c", "env > "+out))
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		return strings.Fields(string(text))
	}
	without := environment(Real{UdevControl: filepath.Join(dir, "absent")})
	require.Contains(t, without, "DM_DISABLE_UDEV=1")
	require.NotContains(t, without, "CANARY=1")
	with := environment(Real{UdevControl: dir})
	require.NotContains(t, with, "DM_DISABLE_UDEV=1")
}

// The program and what it started die with the context.
func TestContextKillsTheGroup(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("somebody released it")
	ended := make(chan error, 1)
	go func() { ended <- Real{}.Run(ctx, nil, sh, "-c", "sleep 600 & echo $! > "+fifo+"; wait") }()
	text, err := os.ReadFile(fifo)
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	cancel(cause)
	require.ErrorIs(t, <-ended, cause)
	// Its parent is gone: init reaps it.
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 10*time.Second, 10*time.Millisecond)
}

// A child that left the group and keeps the output open delays nobody.
func TestEscapedChildDoesNotBlock(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := Real{}.Run(ctx, nil, sh, "-c", "setsid sh -c 'echo $$ > "+pidFile+"; exec sleep 60' & wait")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 30*time.Second)
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(child, syscall.SIGKILL))
}

func TestDescribe(t *testing.T) {
	require.Equal(t, "cryptsetup luksOpen", describe("/usr/sbin/cryptsetup", []string{"luksOpen", "--header", "h"}))
	require.Equal(t, "mkfs.ext4", describe("/usr/sbin/mkfs.ext4", []string{"-q", "x"}))
	require.Equal(t, "x", describe("x", nil))
}
