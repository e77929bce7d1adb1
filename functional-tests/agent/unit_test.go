// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

const (
	unitName = "kata-tes-agent.service"
	// bootUnit makes of the calling shell a systemd with namespaces of its own
	// (unshare gave it them), which starts nothing but our unit: the installed
	// one, apart from the vsock, which a test cannot dial from this machine.
	bootUnit = `set -e
mount -t tmpfs -o mode=0755 tmpfs /run
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system/` + unitName + `.d
cp /opt/tes/unit/` + unitName + ` /run/systemd/system/
cat >/run/systemd/system/` + unitName + `.d/test.conf <<END
[Service]
ExecStart=
ExecStart=/opt/tes/unit/kata-tes-agent -config /opt/tes/unit/agent.toml -listen unix:///run/agent.sock
StandardOutput=append:` + lab.Logs + `/unit-agent.log
StandardError=append:` + lab.Logs + `/unit-agent.log
END
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=` + unitName + ` --log-target=console --show-status=no`
)

// unit is the agent extension as systemd runs it.
type unit struct {
	t *testing.T
	// systemd and agent are their process ids in the node.
	systemd, agent int
	agentv1.TrustedStoreService
}

func startUnit(t *testing.T) *unit {
	t.Helper()
	lab.NeedNode(t)
	group := "/sys/fs/cgroup/unit-test"
	require.NoError(t, os.Mkdir(group, 0o755))
	t.Cleanup(func() { run(t, "sh", "-c", "find "+group+" -depth -type d -exec rmdir {} +") })
	log, err := os.Create(lab.Logs + "/unit-systemd.log")
	require.NoError(t, err)
	cmd := exec.Command("sh", "-c", "echo $$ >"+group+"/cgroup.procs && exec unshare --mount --propagation private --cgroup --pid --fork --kill-child --mount-proc sh -c \"$0\"", bootUnit)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		require.NoError(t, log.Close())
		require.Eventually(t, func() bool {
			left, err := os.ReadFile(group + "/cgroup.events")
			return err == nil && strings.Contains(string(left), "populated 0")
		}, patience, 20*time.Millisecond, "processes of the unit are left")
	})
	u := &unit{t: t}
	require.Eventually(t, func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid))
		if err != nil {
			return false
		}
		u.systemd, err = strconv.Atoi(strings.TrimSpace(string(children)))
		return err == nil && u.systemctl("is-active", unitName) == "active"
	}, patience, 100*time.Millisecond, "systemd does not call the unit active; see %s", log.Name())
	pid := strings.TrimPrefix(u.systemctl("show", "--property=MainPID", unitName), "MainPID=")
	u.agent = u.outside(pid)
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/%d/root/run/agent.sock", u.systemd))
	require.NoError(t, err)
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	u.TrustedStoreService = agentv1.NewTrustedStoreClient(client)
	return u
}

// systemctl asks the unit's systemd; what it says without success is an answer
// as well.
func (u *unit) systemctl(args ...string) string {
	out, _ := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(u.systemd), "--mount", "--pid", "systemctl"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

// outside is the number that a process of the unit's has in the node.
func (u *unit) outside(inside string) int {
	u.t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(u.t, err)
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", u.systemd))
	require.NoError(u.t, err)
	for _, folder := range folders {
		status, err := os.ReadFile(folder + "/status")
		theirs, linkErr := os.Readlink(folder + "/ns/pid")
		if err != nil || linkErr != nil || theirs != namespace {
			continue
		}
		if numbers := strings.Fields(field(string(status), "NSpid")); len(numbers) == 2 && numbers[1] == inside {
			pid, err := strconv.Atoi(numbers[0])
			require.NoError(u.t, err)
			return pid
		}
	}
	u.t.Fatalf("process %q of the unit is not to be found", inside)
	return 0
}

// field is a line of /proc/PID/status.
func field(status, name string) string {
	_, rest, _ := strings.Cut(status, name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// TestUnit: the installed unit, with each of its restrictions, in a real
// systemd. A store is prepared, seen in the mount namespace that kata-agent would
// work in, and released.
func TestUnit(t *testing.T) {
	u := startUnit(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.agent))
	require.NoError(t, err)
	// CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, IPC_LOCK 14, SYS_ADMIN 21, MKNOD 27.
	const capabilities = 1<<0 | 1<<1 | 1<<3 | 1<<14 | 1<<21 | 1<<27
	for name, want := range map[string]string{
		"CapBnd": fmt.Sprintf("%016x", capabilities), "CapEff": fmt.Sprintf("%016x", capabilities),
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		require.Equal(t, want, field(string(status), name), name)
	}
	for _, namespace := range []string{"mnt", "net", "pid", "user"} {
		ours, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", u.agent, namespace))
		require.NoError(t, err)
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", u.systemd, namespace))
		require.NoError(t, err)
		require.Equal(t, theirs, ours, "the agent has a %s namespace of its own", namespace)
	}

	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := u.Prepare(ctx, &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: string(marker)})
	require.NoError(t, err)
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", u.systemd))
	require.NoError(t, err)
	for _, at := range answer.GetMountPoints() {
		require.Contains(t, string(mounts), " "+at+" ")
	}

	// Killed, it is started again by systemd, and knows its store.
	require.NoError(t, syscall.Kill(u.agent, syscall.SIGKILL))
	require.Eventually(t, func() bool { return u.again() == agentv1.State_STATE_READY }, patience, 200*time.Millisecond)
	require.NoError(t, u.release(marker))
	require.NotContains(t, run(t, "dmsetup", "ls"), answer.GetMapping())
	t.Logf("summary: unit: prepared, taken over after a kill and released by %s under all restrictions of %s", strings.SplitN(u.systemctl("--version"), "\n", 2)[0], unitName)
}

// again is what a new connection says of the store.
func (u *unit) again() agentv1.State {
	state := agentv1.State_STATE_UNSPECIFIED
	_ = u.anew(func(ctx context.Context, c agentv1.TrustedStoreService) error {
		answer, err := c.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
		state = answer.GetState()
		return err
	})
	return state
}

func (u *unit) release(marker agentproto.Marker) error {
	return u.anew(func(ctx context.Context, c agentv1.TrustedStoreService) error {
		_, err := c.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: string(marker)})
		return err
	})
}

func (u *unit) anew(do func(context.Context, agentv1.TrustedStoreService) error) error {
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/%d/root/run/agent.sock", u.systemd))
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer func() { _ = client.Close() }() // the answer is there
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	return do(ctx, agentv1.NewTrustedStoreClient(client))
}
