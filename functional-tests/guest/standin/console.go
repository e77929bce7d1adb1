// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"log"
	"net"
	"os/exec"

	"golang.org/x/sys/unix"
)

// serveConsole gives every connection a shell of its own on a terminal, as the
// debug console of Kata's agent does.
func serveConsole(listener net.Listener, shell string) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := console(conn, shell); err != nil {
				log.Printf("console: %v", err)
			}
		}()
	}
}

// console runs one shell until it ends or the other side hangs up.
func console(conn net.Conn, shell string) error {
	defer func() { _ = conn.Close() }()
	master, slave, err := openPTY()
	if err != nil {
		return err
	}
	cmd := exec.Command(shell, "-i")
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = slave.Close()
	if err != nil {
		_ = master.Close()
		return err
	}

	// Input ends when the caller hangs up: the shell is hung up on in turn.
	input := make(chan struct{})
	go func() {
		defer close(input)
		_, _ = io.Copy(master, conn)
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGHUP)
	}()
	// Reading a terminal whose shell has ended gives EIO: that is the end.
	_, _ = io.Copy(conn, master)
	_ = conn.Close()
	<-input
	_ = master.Close()
	// A shell's exit status is the caller's business, and it printed it.
	_ = cmd.Wait()
	return nil
}
