// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// validity of the certificates: longer than any run.
const validity = 24 * time.Hour

// authority signs the certificates of one run.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// makeKeys makes what the control plane's programs know each other by: the
// authority (ca.crt), the API server's certificate (apiserver), the one that
// it shows to the kubelet (kubelet-client), and the key that service accounts'
// tokens are signed with (service-account).
func (c *ControlPlane) makeKeys() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := c.writePEM("ca.crt", "CERTIFICATE", ca.certificate.Raw); err != nil {
		return err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)},
	}
	if err := c.issue(ca, "apiserver", server); err != nil {
		return err
	}
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := c.issue(ca, "kubelet-client", client); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making the key for service accounts: %w", err)
	}
	return c.writeKey("service-account.key", key)
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "kata-tes test cluster"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, nil
}

// issue writes a new key and its certificate to NAME.key and NAME.crt.
func (c *ControlPlane) issue(ca *authority, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of %s: %w", name, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certificate, err := sign(template, ca.certificate, &key.PublicKey, ca.key)
	if err != nil {
		return err
	}
	if err := c.writePEM(name+".crt", "CERTIFICATE", certificate.Raw); err != nil {
		return err
	}
	return c.writeKey(name+".key", key)
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("numbering a certificate: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(validity)
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(raw)
}

func (c *ControlPlane) writeKey(name string, key crypto.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return c.writePEM(name, "PRIVATE KEY", raw)
}

func (c *ControlPlane) writePEM(name, kind string, raw []byte) error {
	content := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
	if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
		return fmt.Errorf("writing a key of the control plane: %w", err)
	}
	return nil
}
