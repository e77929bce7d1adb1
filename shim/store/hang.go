// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
)

// looks is how often the disk is looked at within Timeouts.HungDisk.
const looks = 4

// Killed is told that one of the sandbox's containers gets a SIGKILL. A process
// that waits for its disk does not end by it, nor does Kata give up waiting for
// that process: under a disk that answers nothing any more (a lost iSCSI path,
// say) the pod could not be deleted. So for as long as HungDisk the disk is
// looked at, and if it hangs all the time, the virtual machine is ended. It holds
// nothing of worth without the disk; the kubelet makes the pod again, if it is
// still wanted.
func (s *Store) Killed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready || s.watching || s.life.Err() != nil {
		return
	}
	s.watching = true
	s.attempts.Go(func() {
		s.watch()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watching = false
	})
}

// watch ends the virtual machine if the disk hangs. What ready is about does
// not change any more.
func (s *Store) watch() {
	hangs, err := s.hangs()
	if err != nil {
		// A guest that does not answer is no proof, and Kata's affair.
		s.Log.WithError(err).Warn("a container was killed, and whether the trusted store's disk answers is unknown")
		return
	}
	if !hangs {
		return
	}
	s.Log.WithField("device", s.device.String()).Errorf("the trusted store's disk has answered nothing for %s, and containers that were killed can't end: "+
		"ending the virtual machine; check the disk's connection to the node", s.Timeouts.HungDisk)
	if err := s.vm.End(context.WithoutCancel(s.life)); err != nil {
		s.Log.WithError(err).Warn("ending the virtual machine; its process stays until the disk answers")
	}
}

// hangs says whether requests wait at every look and none was answered between
// the first and the last.
func (s *Store) hangs() (bool, error) {
	first, err := s.requests()
	again := time.NewTicker(s.Timeouts.HungDisk / looks)
	defer again.Stop()
	now := first
	for range looks {
		if err != nil || !stalled(first, now) {
			return false, err
		}
		select {
		case <-again.C:
		case <-s.life.Done():
			return false, nil
		}
		now, err = s.requests()
	}
	return err == nil && stalled(first, now), err
}

// stalled: requests wait, and none was answered since.
func stalled(since, now *agentv1.StatusResponse) bool {
	return now.GetDiskRequestsWaiting() > 0 && now.GetDiskRequestsAnswered() == since.GetDiskRequestsAnswered()
}

func (s *Store) requests() (*agentv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(s.life, s.Timeouts.Find)
	defer cancel()
	status, err := s.guest.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
	if err != nil {
		return nil, fmt.Errorf("asking the guest for its store: %w", err)
	}
	return status, nil
}
