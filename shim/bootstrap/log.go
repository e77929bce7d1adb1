// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// logFIFO is in the bundle of the sandbox. containerd copies what shims write
// to it into its own log.
const logFIFO = "log"

// newLog logs to containerd. The working folder must be the bundle.
func newLog(c call, level string) (*logrus.Entry, error) {
	out, err := openFIFO(logFIFO)
	if err != nil {
		return nil, err
	}
	l := logrus.New()
	l.SetOutput(out)
	l.SetFormatter(&logrus.TextFormatter{TimestampFormat: time.RFC3339Nano, FullTimestamp: true, DisableColors: true})
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("setting the log level: %w", err)
	}
	if c.debug {
		parsed = max(parsed, logrus.DebugLevel)
	}
	l.SetLevel(parsed)
	return l.WithFields(logrus.Fields{"runtime": "io.containerd.kata-tes.v2", "sandbox": c.id, "namespace": c.namespace}), nil
}

// fifo is a pipe that is never waited for: a containerd that is being
// restarted must not stop its pods, and what it doesn't read is lost.
type fifo int

// openFIFO discards everything where there is no FIFO: containerd is not the
// only one who may start us.
//
// Open for reading too: it succeeds before the other side has opened it, and
// while nobody reads, writing is no error (fifo(7)).
func openFIFO(path string) (io.Writer, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return io.Discard, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the log %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return io.Discard, errors.Join(err, unix.Close(fd))
	}
	return fifo(fd), nil
}

// Write never fails because of a slow reader. A line up to the size of a
// pipe's buffer is written whole or not at all (pipe(7), PIPE_BUF).
func (f fifo) Write(line []byte) (int, error) {
	n, err := unix.Write(int(f), line)
	if errors.Is(err, unix.EAGAIN) {
		return len(line), nil
	}
	if err != nil {
		return n, fmt.Errorf("writing to the log: %w", err)
	}
	return len(line), nil
}
