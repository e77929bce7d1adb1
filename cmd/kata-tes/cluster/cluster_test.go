// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve starts an API server that answers as told, and gives a client of it.
func serve(t *testing.T, handler http.Handler) *Client {
	t.Helper()
	before := pause
	pause = time.Millisecond
	t.Cleanup(func() { pause = before })
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	folder := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("namespace", "kata-tes")
	write("token", "secret\n")
	write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	client, err := New(address, folder)
	require.NoError(t, err)
	return client
}

// refuse answers as the API server does.
func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"kind":"Status","status":"Failure","message":%q,"code":%d}`, message, code)
}

func TestSetLabel(t *testing.T) {
	var asked []string
	client := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), body))
	}))
	value := "true"
	require.NoError(t, client.SetLabel(t.Context(), "node-1", "kata-tes.io/ready", &value))
	require.NoError(t, client.SetLabel(t.Context(), "node-1", "kata-tes.io/ready", nil))
	const request = `PATCH /api/v1/nodes/node-1?fieldManager=kata-tes Bearer secret application/merge-patch+json {"metadata":{"labels":{"kata-tes.io/ready":`
	require.Equal(t, []string{request + `"true"}}}`, request + `null}}}`}, asked)
}

func TestSetLabelTriesAgainWhereThatHelps(t *testing.T) {
	for _, c := range []struct {
		name  string
		codes []int
		want  string
	}{
		{"a restart of the API server", []int{503, 500, 200}, ""},
		{"too many requests, a conflict", []int{429, 409, 200}, ""},
		{"not allowed", []int{403, 200}, "labelling node node-1: no"},
		{"no such node", []int{404, 200}, "labelling node node-1: no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				code := c.codes[0]
				c.codes = c.codes[1:]
				if code != 200 {
					refuse(w, code, "no")
				}
			}))
			err := client.SetLabel(t.Context(), "node-1", "kata-tes.io/ready", nil)
			if c.want == "" {
				require.NoError(t, err)
				require.Empty(t, c.codes)
				return
			}
			require.EqualError(t, err, c.want)
			require.Len(t, c.codes, 1, "it is not asked again")
		})
	}
}

func TestTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel(fmt.Errorf("enough"))
		refuse(w, 503, "not now")
	}))
	err := client.SetLabel(ctx, "node-1", "kata-tes.io/ready", nil)
	require.ErrorContains(t, err, "enough")
}

// controller plays the DaemonSet's: its state is a line of the watch.
type controller struct {
	t *testing.T
	// watches are the answers to one watch after the other.
	watches [][]string
	pods    string
	// last is called instead of an answer that is not there.
	last  func()
	mu    sync.Mutex
	calls []string
}

func state(generation, desired, updated, available int) string {
	return fmt.Sprintf(`{"type":"MODIFIED","object":{"metadata":{"generation":3},"status":{"observedGeneration":%d,"desiredNumberScheduled":%d,"updatedNumberScheduled":%d,"numberAvailable":%d}}}`,
		generation, desired, updated, available)
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, r.Method+" "+r.URL.Path)
	switch {
	case r.Method == http.MethodPatch:
		_, _ = io.WriteString(w, `{"metadata":{"generation":3},"spec":{"selector":{"matchLabels":{"b":"2","a":"1"}}}}`)
	case r.URL.Query().Get("watch") == "true":
		if got := r.URL.Query().Get("fieldSelector"); got != "metadata.name=kata-tes" {
			c.t.Errorf("the rights are for one name only, asked for %q", got)
		}
		if len(c.watches) == 0 {
			c.last()
			return
		}
		for _, line := range c.watches[0] {
			_, _ = io.WriteString(w, line+"\n")
		}
		c.watches = c.watches[1:]
	default:
		if got := r.URL.Query().Get("labelSelector"); got != "a=1,b=2" {
			c.t.Errorf("pods of another DaemonSet were asked for: %q", got)
		}
		_, _ = io.WriteString(w, c.pods)
	}
}

func TestRollout(t *testing.T) {
	for _, c := range []struct {
		name    string
		watches [][]string
		want    []string
	}{
		{"at once", [][]string{{state(3, 2, 2, 2)}}, []string{"2 of 2 nodes have the new pod, 2 pods are ready"}},
		{"no node", [][]string{{state(3, 0, 0, 0)}}, []string{"0 of 0 nodes have the new pod, 0 pods are ready"}},
		{"step by step, over several watches", [][]string{
			{state(2, 2, 2, 2), state(3, 2, 1, 1)},
			{state(3, 2, 1, 1)},
			{state(3, 2, 2, 1), state(3, 2, 2, 2)},
		}, []string{
			"waiting for the DaemonSet's controller",
			"1 of 2 nodes have the new pod, 1 pods are ready",
			"2 of 2 nodes have the new pod, 1 pods are ready",
			"2 of 2 nodes have the new pod, 2 pods are ready",
		}},
		{"somebody changed it since", [][]string{{state(4, 1, 1, 1)}}, []string{"1 of 1 nodes have the new pod, 1 pods are ready"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play := &controller{t: t, watches: c.watches, last: func() { t.Error("one watch too many") }}
			var said []string
			require.NoError(t, serve(t, play).Rollout(t.Context(), "kata-tes", []byte(`{}`), func(s string) { said = append(said, s) }))
			require.Equal(t, c.want, said)
			require.Equal(t, "PATCH /apis/apps/v1/namespaces/kata-tes/daemonsets/kata-tes", play.calls[0])
		})
	}
}

func TestRolloutNamesTheNodesThatAreNotDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	play := &controller{
		t:       t,
		watches: [][]string{{state(3, 4, 4, 1)}},
		last:    cancel,
		pods: `{"items":[
			{"spec":{"nodeName":"well"},"status":{"conditions":[{"type":"Ready","status":"True"}]}},
			{"spec":{"nodeName":"busy"},"status":{"conditions":[{"type":"Ready","status":"False"}],
			  "initContainerStatuses":[{"name":"node","state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},
			    "lastState":{"terminated":{"reason":"Error","exitCode":1,"message":"kata-tes: a pod has a store\n"}}}],
			  "containerStatuses":[{"name":"wait","state":{"waiting":{"reason":"PodInitializing"}}}]}},
			{"spec":{"nodeName":"silent"},"status":{"initContainerStatuses":[{"name":"node","state":{"terminated":{"reason":"OOMKilled","exitCode":137}}}]}},
			{"spec":{"nodeName":"no-image"},"status":{"initContainerStatuses":[{"name":"node","state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}}]}},
			{"spec":{"nodeName":"down"},"status":{"conditions":[{"type":"Ready","status":"False"}],
			  "containerStatuses":[{"name":"wait","state":{}}]}}]}`,
	}
	err := serve(t, play).Rollout(ctx, "kata-tes", []byte(`{}`), func(string) {})
	require.EqualError(t, err, `DaemonSet kata-tes is not done on all nodes: 4 of 4 nodes have the new pod, 1 pods are ready
node busy: node: kata-tes: a pod has a store
node silent: node: OOMKilled, exit status 137
node no-image: node: ImagePullBackOff not found
node down: its pod is not ready: is the node up?`)
}

func TestRolloutOfADaemonSetThatGoes(t *testing.T) {
	play := &controller{t: t, watches: [][]string{{`{"type":"DELETED","object":{}}`}}, last: func() { t.Error("asked again") }}
	err := serve(t, play).Rollout(t.Context(), "kata-tes", []byte(`{}`), func(string) {})
	require.ErrorContains(t, err, "deleted meanwhile")
}

func TestOnlyInAPod(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := InCluster()
	require.ErrorContains(t, err, "no pod of Kubernetes")

	_, err = New(&url.URL{}, t.TempDir())
	require.ErrorContains(t, err, "automountServiceAccountToken")
}

func TestAnotherServerIsNotTrusted(t *testing.T) {
	client := serve(t, http.NotFoundHandler())
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	// The test servers share a certificate, which is good for this name and not
	// for another.
	client.server = &url.URL{Scheme: "https", Host: "localhost:" + mustPort(t, stranger.URL)}
	_, err := client.do(t.Context(), http.MethodGet, "/", nil, "", nil)
	require.ErrorContains(t, err, "certificate")
}

func mustPort(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Port()
}
