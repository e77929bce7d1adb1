// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// account is where Kubernetes puts a pod's credentials
// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod).
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// maxAnswer bounds an answer and an event, in bytes: a list of all pods of a
// DaemonSet on the largest of clusters.
const maxAnswer = 64 << 20

// Client speaks to the API server as the pod's service account.
type Client struct {
	// Namespace is the pod's.
	Namespace string
	server    *url.URL
	// folder has the token, which the kubelet renews.
	folder string
	http   *http.Client
}

// InCluster is the client of the pod that this process runs in.
func InCluster() (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set): the command is for the Helm chart's pods")
	}
	return New(&url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}, account)
}

// New is the client of the API server at an address, with the credentials that a
// folder has as Kubernetes puts them there: namespace, ca.crt, and token, which
// is read anew for each request.
func New(server *url.URL, folder string) (*Client, error) {
	namespace, err := os.ReadFile(filepath.Join(folder, "namespace")) //nolint:gosec // the folder is a constant
	if err != nil {
		return nil, fmt.Errorf("reading the pod's service account (automountServiceAccountToken must be true): %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(folder, "ca.crt")) //nolint:gosec // the folder is a constant
	if err != nil {
		return nil, fmt.Errorf("reading the pod's service account: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificate", filepath.Join(folder, "ca.crt"))
	}
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
	}
	return &Client{
		Namespace: strings.TrimSpace(string(namespace)),
		server:    server,
		folder:    folder,
		http:      &http.Client{Transport: transport},
	}, nil
}

// statusError is the API server's refusal.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return e.message }

// final says whether asking again is of no use: the API server understood, and
// says no. 409 and 429 ask to come again.
func (e *statusError) final() bool {
	return e.code >= 400 && e.code < 500 && e.code != http.StatusConflict && e.code != http.StatusTooManyRequests
}

// do sends one request and gives the answer's body, which the caller closes.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) (io.ReadCloser, error) {
	token, err := os.ReadFile(filepath.Join(c.folder, "token"))
	if err != nil {
		return nil, fmt.Errorf("reading the pod's token: %w", err)
	}
	address := c.server.JoinPath(path)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "kata-tes")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, refusal(response)
}

// refusal reads what the API server says, which is a Status object, or what a
// proxy before it says.
func refusal(response *http.Response) error {
	var status struct{ Message string }
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil || json.Unmarshal(text, &status) != nil || status.Message == "" {
		return &statusError{response.StatusCode, fmt.Sprintf("the API server answers %q", response.Status)}
	}
	return &statusError{response.StatusCode, status.Message}
}

// patch changes an object by a merge patch (RFC 7386) and reads the new object
// into what into points to, if it is not nil.
func (c *Client) patch(ctx context.Context, path string, patch []byte, into any) error {
	body, err := c.do(ctx, http.MethodPatch, path, url.Values{"fieldManager": {"kata-tes"}}, "application/merge-patch+json", patch)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if into == nil {
		return nil
	}
	return decode(body, into)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := c.do(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return decode(body, into)
}

func decode(body io.Reader, into any) error {
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	return nil
}
