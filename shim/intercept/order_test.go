// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/shim/ocispec"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// named is a Create of a container that has a name in its pod.
func (p *pod) named(name string, devices ...string) error {
	p.t.Helper()
	id, dir := p.bundle("container", devices...)
	text := strings.Replace(p.content(dir), `"annotations":{`, fmt.Sprintf(`"annotations":{"io.kubernetes.cri.container-name":%q,`, name), 1)
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	return p.interceptor.Create(p.t.Context(), id, dir)
}

// The application's Create passed before the sidecar's came: by configuration
// the store is prepared all the same, or refused with what to do.
func TestLateStore(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	t.Run("warn", func(t *testing.T) {
		p := newPod(t, unhurried)
		require.NoError(t, p.create())
		require.NoError(t, p.create(entry(disk.n)))
		p.requireReady(disk)
		require.NoError(t, p.create(), "a container that starts again")
		require.Contains(t, p.counted(), "kata_tes_stores_prepared_total 1\n")
		require.Contains(t, p.counted(), `kata_tes_late_stores_total{action="warn"} 1`)
	})
	t.Run("refuse", func(t *testing.T) {
		p := newPodWith(t, unhurried, func(s *config.Settings) { s.LateStore = config.LateRefuse })
		_, sandbox := p.bundle("sandbox")
		require.NoError(t, p.interceptor.Create(t.Context(), sandboxID, sandbox), "the sandbox comes first, and does not count")
		require.NoError(t, p.create())
		for range 2 {
			requireRefused(t, p.create(entry(disk.n)), codes.FailedPrecondition, "too late", `"container-2" was created before`, "list the container with the trusted store first", "native sidecar")
			requireRefused(t, p.create(), codes.FailedPrecondition, "too late", "native sidecar")
		}
		require.Zero(t, p.vm.attaches)
		require.False(t, disk.claimed(t))
		require.Contains(t, p.counted(), `kata_tes_late_stores_total{action="refuse"} 1`)
		require.Contains(t, p.counted(), `kata_tes_stores_refused_total{reason="late"} 2`)

		p = newPodWith(t, unhurried, func(s *config.Settings) { s.LateStore = config.LateRefuse })
		require.NoError(t, p.create(entry(disk.n)), "the pod that was made again, in order")
		require.NoError(t, p.create())
	})
}

// Where the guest has unpacked the application's image already, it refuses to
// mount over it. The user reads whose image it is, through the real connection.
func TestLateStoreThatTheGuestRefuses(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	occupied, err := status.New(codes.FailedPrecondition, "the mount point is not an empty directory of its own").
		WithDetails(&agentv1.Refusal{Reason: agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED})
	require.NoError(t, err)
	p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(occupied.Err()) })

	require.NoError(t, p.create())
	err = p.create(entry(disk.n))
	requireRefused(t, err, codes.FailedPrecondition, "not an empty directory", `"container-1" was created before`, "native sidecar", "delete the pod and create it again")
	require.NotContains(t, err.Error(), "another volume")
	p.requireUndone()
	requireRefused(t, p.create(), codes.FailedPrecondition, "native sidecar")
	require.Contains(t, p.counted(), `kata_tes_stores_refused_total{reason="guest_failed_precondition"} 1`)
}

// A container that has the disk under another path, and was created before
// anybody knew that the disk would be the store's.
func TestStoreOnADiskThatIsGivenAway(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	require.NoError(t, p.create(device("/dev/data", "b", disk.n)))
	requireRefused(t, p.create(entry(disk.n)), codes.InvalidArgument, `"container-1"`, disk.n.String(), "remove it from that container's volumeDevices")
	require.Zero(t, p.vm.attaches)
	requireRefused(t, p.create(), codes.FailedPrecondition, "not ready")
	require.Contains(t, p.counted(), `kata_tes_stores_refused_total{reason="aliased"} 1`)
}

// The names of containers are those of the pod where there are any.
func TestLateStoreNamesContainers(t *testing.T) {
	p := newPodWith(t, unhurried, func(s *config.Settings) { s.LateStore = config.LateRefuse })
	require.NoError(t, p.named("init"))
	require.NoError(t, p.named("application"))
	require.NoError(t, p.named("application"))
	requireRefused(t, p.create(entry(ocispec.Number{Major: 8})), codes.FailedPrecondition, `containers "init" and "application" were created`)
}

// A slip of the pen must not give a pod without a store.
func TestLookalike(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	for _, path := range []string{"/dev/trusted_store2", "/dev/trusted_store_x", "/dev/trusted_store/x", "dev//trusted_store.old/"} {
		t.Run(path, func(t *testing.T) {
			p := newPod(t, unhurried)
			requireRefused(t, p.create(device(path, "b", disk.n)), codes.InvalidArgument, "looks like", "write /dev/trusted_store for", "reserved")
			requireRefused(t, p.create(), codes.FailedPrecondition, "looks like")
			require.NoError(t, p.create(entry(disk.n)), "mended")
			p.requireReady(disk)
			requireRefused(t, p.create(device(path, "b", disk.n)), codes.InvalidArgument, "looks like")
			require.NoError(t, p.create(), "the store is ready all the same")
			require.Contains(t, p.counted(), `kata_tes_stores_refused_total{reason="lookalike"} 2`)
		})
	}
	t.Run("the path, written otherwise", func(t *testing.T) {
		p := newPod(t, unhurried)
		require.NoError(t, p.create(device("/dev/trusted_store/", "b", disk.n)))
		p.requireReady(disk)
	})
	t.Run("another path altogether", func(t *testing.T) {
		p := newPod(t, unhurried)
		id, dir := p.bundle("container", device("/dev/store", "b", disk.n))
		before := p.content(dir)
		require.NoError(t, p.interceptor.Create(t.Context(), id, dir))
		require.Equal(t, before, p.content(dir))
		require.Zero(t, p.vm.attaches)
	})
}

// With another path configured, the proposal's is one like any other. That is
// said in the log, because it is hardly what the pod's author meant.
func TestAnotherDevicePath(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPodWith(t, unhurried, func(s *config.Settings) { s.DevicePath = "/dev/images" })
	id, dir := p.bundle("container", device("/dev/trusted_store", "b", disk.n))
	before := p.content(dir)
	require.NoError(t, p.interceptor.Create(t.Context(), id, dir))
	require.Equal(t, before, p.content(dir))
	require.Zero(t, p.vm.attaches)
	require.Contains(t, warnings(p.log), "device_path in /etc/kata-tes/config.toml is /dev/images")

	p = newPodWith(t, unhurried, func(s *config.Settings) { s.DevicePath = "/dev/images" })
	require.NoError(t, p.create(device("/dev/images", "b", disk.n)))
	p.requireReady(disk)
	requireRefused(t, p.create(device("/dev/images2", "b", disk.n)), codes.InvalidArgument, "write /dev/images for")
	require.NotContains(t, warnings(p.log), "device_path in")
}

func warnings(hook *logtest.Hook) string {
	var all string
	for _, e := range hook.AllEntries() {
		if e.Level == logrus.WarnLevel {
			all += e.Message + "\n"
		}
	}
	return all
}

// Each reason of the metrics is one word.
func TestReasons(t *testing.T) {
	for _, m := range meanings {
		require.Regexp(t, `^[a-z_]+$`, m.reason, m.err)
		require.Equal(t, m.reason, reason(fmt.Errorf("creating: %w", m.err)))
	}
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		require.NotEmpty(t, guestReasons[guestCode(c)], c)
	}
}

// counted is what the node's metrics say once all is written.
func (p *pod) counted() string {
	p.t.Helper()
	p.interceptor.metrics.Close()
	text, err := os.ReadFile(filepath.Join(rundir.MetricsPath(p.runRoot), metrics.FileName))
	require.NoError(p.t, err)
	return string(text)
}
