// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// keys are made for one boot: the node's port is on the host's loopback, where
// others may knock too.
type keys struct {
	hostPublic ssh.PublicKey
	hostFile   []byte
	client     ssh.Signer
}

func newKeys() (*keys, error) {
	hostPublic, hostPrivate, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making the node's key: %w", err)
	}
	_, clientPrivate, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making our key: %w", err)
	}
	k := &keys{}
	if k.hostPublic, err = ssh.NewPublicKey(hostPublic); err != nil {
		return nil, fmt.Errorf("making the node's key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(hostPrivate, "test node")
	if err != nil {
		return nil, fmt.Errorf("encoding the node's key: %w", err)
	}
	k.hostFile = pem.EncodeToMemory(block)
	if k.client, err = ssh.NewSignerFromKey(clientPrivate); err != nil {
		return nil, fmt.Errorf("making our key: %w", err)
	}
	return k, nil
}

// write puts down what the node's sshd reads.
func (k *keys) write(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("writing keys: %w", err)
	}
	for name, content := range map[string][]byte{
		"host_key":        k.hostFile,
		"authorized_keys": ssh.MarshalAuthorizedKey(k.client.PublicKey()),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("writing keys: %w", err)
		}
	}
	return nil
}

func (k *keys) clientConfig() *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config:          ssh.Config{Ciphers: []string{"chacha20-poly1305@openssh.com"}},
		User:            "root",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(k.client)},
		HostKeyCallback: ssh.FixedHostKey(k.hostPublic),
	}
}
