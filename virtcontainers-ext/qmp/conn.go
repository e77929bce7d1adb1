// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// commandTimeout bounds a command whose context is more patient. It is long
	// for QEMU, whose commands take milliseconds, and short for a person.
	commandTimeout = 10 * time.Second
	// maxEvents bounds the events that nobody has waited for yet.
	maxEvents = 256
)

// Conn is a connection to a monitor. It has no goroutine: answers and events
// are read by whoever waits for them. Its methods may be called from several
// goroutines and then take turns.
//
// A monitor has one client at a time and one queue of commands. When a client
// closes, QEMU finishes the command that it has begun and throws away the rest,
// so that whatever the next client asks comes after: it never sees an effect of
// the first one arrive late. It may see a late answer, because QEMU answers to
// whoever is connected by then; ids that no other connection has tell those.
type Conn struct {
	// turn holds a token while a call has the socket to itself.
	turn chan struct{}
	sock *net.UnixConn
	in   *bufio.Reader
	// partial is the beginning of a line that a deadline cut short.
	partial []byte
	lastID  uint64
	// wanted are the names of the events that are kept.
	wanted map[string]bool
	events []Event
	// broken is why the connection can't be used any more: after a lost answer
	// or half a line the two sides no longer agree where they are.
	broken error
}

// Close ends the connection. A call that is still waiting returns.
func (c *Conn) Close() error {
	if err := c.sock.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the monitor's connection: %w", err)
	}
	return nil
}

// Broken is why the connection can't be used any more, or nil.
func (c *Conn) Broken() error { return c.broken }

// Execute sends a command and waits for its answer, which it stores in result
// unless that is nil. args is what becomes the command's arguments in JSON.
//
// An *Error is QEMU's refusal. Any other error breaks the connection, and the
// command may have been carried out.
func (c *Conn) Execute(ctx context.Context, name string, args, result any) error {
	return c.ExecuteWithFile(ctx, name, args, nil, result)
}

// ExecuteWithFile is Execute for a command that takes a descriptor. QEMU gets a
// duplicate; f stays the caller's.
func (c *Conn) ExecuteWithFile(ctx context.Context, name string, args any, f *os.File, result any) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var answer json.RawMessage
	err := c.exclusively(ctx, func() error {
		id, err := c.send(name, args, f)
		if err == nil {
			answer, err = c.answer(name, id)
		}
		return c.lost(err)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("%s: %w: unexpected answer: %w", name, ErrProtocol, err)
	}
	return nil
}

// Await returns the first event since Dial that matches and that no Await has
// returned, and drops those before it. When ctx ends, the connection can still
// be used.
func (c *Conn) Await(ctx context.Context, match func(Event) bool) (Event, error) {
	var found Event
	err := c.exclusively(ctx, func() error {
		for {
			for len(c.events) > 0 {
				found, c.events = c.events[0], c.events[1:]
				if match(found) {
					return nil
				}
			}
			_, err := c.next()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			if err != nil {
				return c.lost(err)
			}
		}
	})
	if err != nil {
		return Event{}, fmt.Errorf("waiting for an event of QEMU: %w", err)
	}
	return found, nil
}

// exclusively runs do with the socket to itself and ends it when ctx ends.
func (c *Conn) exclusively(ctx context.Context, do func() error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.broken != nil {
		return fmt.Errorf("%w (%w)", ErrBroken, c.broken)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		// Fails on a closed socket only, and that wakes the reader as well.
		_ = c.sock.SetDeadline(time.Unix(1, 0))
	})
	err := do()
	if !stop() {
		<-fired
		_ = c.sock.SetDeadline(time.Time{}) // as above
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.Cause(ctx)
		}
	}
	return err
}

// lost marks the connection as broken by err, unless err is QEMU's own.
func (c *Conn) lost(err error) error {
	var refusal *Error
	if err != nil && !errors.As(err, &refusal) {
		c.broken = err
	}
	return err
}

// send writes a command and returns the id that its answer will carry.
func (c *Conn) send(name string, args any, f *os.File) (uint64, error) {
	c.lastID++
	line, err := json.Marshal(command{Execute: name, Arguments: args, ID: c.lastID})
	if err != nil {
		return 0, fmt.Errorf("encoding: %w", err)
	}
	line = append(line, '\n')
	if f == nil {
		_, err = c.sock.Write(line)
	} else {
		err = c.writeWithFile(line, f)
	}
	if err != nil {
		return 0, fmt.Errorf("sending: %w", err)
	}
	return c.lastID, nil
}

func (c *Conn) writeWithFile(line []byte, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("taking the descriptor of %s: %w", f.Name(), err)
	}
	var n int
	var sendErr error
	// Control, not Fd(): the descriptor can't be closed while it is sent, and
	// stays in the mode that it is in.
	if err := raw.Control(func(fd uintptr) {
		n, _, sendErr = c.sock.WriteMsgUnix(line, unix.UnixRights(int(fd)), nil)
	}); err != nil {
		return fmt.Errorf("taking the descriptor of %s: %w", f.Name(), err)
	}
	if sendErr != nil {
		return fmt.Errorf("with the descriptor of %s: %w", f.Name(), sendErr)
	}
	// The descriptor went with the first byte; a stream may leave some for later.
	_, err = c.sock.Write(line[n:])
	return err
}

// answer reads until the answer to the command with that id.
func (c *Conn) answer(name string, id uint64) (json.RawMessage, error) {
	for {
		m, err := c.next()
		if err != nil {
			return nil, err
		}
		switch {
		case m.Event != nil:
			continue
		case m.Greeting != nil:
			return nil, fmt.Errorf("%w: a second greeting", ErrProtocol)
		case m.ID != nil && *m.ID != id:
			continue // a late answer to an earlier client
		case m.ID == nil && m.Error == nil:
			return nil, fmt.Errorf("%w: an answer without an id", ErrProtocol)
		}
		// A command that QEMU can't parse is refused without its id.
		if m.Error != nil {
			return nil, &Error{Command: name, Class: m.Error.Class, Desc: m.Error.Desc}
		}
		return m.Return, nil
	}
}

// next reads a message, and keeps it if it is an event that is wanted.
func (c *Conn) next() (message, error) {
	line, err := c.readLine()
	if err != nil {
		return message{}, err
	}
	m, err := parse(line)
	if err != nil {
		return message{}, err
	}
	if m.Event != nil && c.wanted[*m.Event] {
		if len(c.events) == maxEvents {
			c.events = c.events[1:]
		}
		c.events = append(c.events, Event{Name: *m.Event, Data: m.Data})
	}
	return m, nil
}
