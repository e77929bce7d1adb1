// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package intercept is what happens on Create: the seven steps of design.md.
// A container that asks for the trusted store is created when the store is
// ready, and without the device; all others pass, unless the pod's store was
// asked for and is not ready.
//
// The steps are done by ocispec (the bundle), hostdev (the host's device) and
// store (the preparation). Here they are put in order and wired to the real
// virtual machine and guest, and their errors become gRPC statuses.
package intercept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/shim/ocispec"
	"github.com/kata-tes/kata-tes/shim/store"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// ErrOnSandbox says that the sandbox's own container asks for the store.
var ErrOnSandbox = errors.New("the pod's sandbox container cannot have a trusted store, because its virtual machine does not exist yet")

// ErrRelativeBundle says that the bundle's path depends on who looks.
var ErrRelativeBundle = errors.New("the bundle's path is not an absolute one")

// Options are what an Interceptor needs to know.
type Options struct {
	// SandboxID is the sandbox whose Creates are intercepted.
	SandboxID string
	// Settings are the sandbox's, from /etc/kata-tes/config.toml.
	Settings config.Settings
	// RunRoot is where the sandboxes' folders are, see rundir, and the node's
	// metrics. Without it nothing is counted.
	RunRoot string
	// EndMachine kills the sandbox's virtual machine, whatever it does.
	EndMachine func(context.Context) error
	Log        *logrus.Entry
}

// Interceptor stands before the Creates of one sandbox. Its methods may be
// called at the same time.
type Interceptor struct {
	sandboxID  string
	devicePath string
	store      *store.Store
	metrics    *metrics.Node
	log        *logrus.Entry
}

// New makes the interceptor of a sandbox.
func New(o Options) (*Interceptor, error) {
	return newInterceptor(o, finder{Finder: vcext.Finder{RunRoot: o.RunRoot}, end: o.EndMachine}, hostdev.Host{})
}

func newInterceptor(o Options, f store.Finder, opener store.Opener) (*Interceptor, error) {
	switch {
	case o.SandboxID == "":
		return nil, errors.New("intercepting Create: no sandbox id")
	case o.Settings.DevicePath == "":
		return nil, errors.New("intercepting Create: no device path")
	case o.Log == nil:
		return nil, errors.New("intercepting Create: no log")
	}
	var counts *metrics.Node
	if o.RunRoot != "" {
		counts = metrics.Open(o.RunRoot, o.Log)
	}
	return &Interceptor{
		sandboxID:  o.SandboxID,
		devicePath: o.Settings.DevicePath,
		metrics:    counts,
		log:        o.Log.WithField("sandbox", o.SandboxID),
		store: store.New(store.Options{
			SandboxID:   o.SandboxID,
			MinimumSize: o.Settings.MinimumSize,
			Timeouts:    o.Settings.Timeouts,
			Finder:      f,
			Opener:      opener,
			LateStore:   o.Settings.LateStore,
			Metrics:     counts,
			Log:         o.Log,
		}),
	}, nil
}

// Create is called before the Task service's Create goes to the inner shim, and
// says whether it may. Its errors are gRPC statuses with a message that tells
// the user what to do.
func (i *Interceptor) Create(ctx context.Context, id, bundle string) error {
	err := i.create(ctx, id, bundle)
	if err != nil {
		i.log.WithError(err).WithField("container", id).Warn("the container is refused")
		return toStatus(err)
	}
	return nil
}

func (i *Interceptor) create(ctx context.Context, id, bundle string) error {
	// The inner shim has another working folder: a relative path would lead it
	// to another file than us.
	if !filepath.IsAbs(bundle) {
		return fmt.Errorf("%w: %.200q", ErrRelativeBundle, bundle)
	}

	// 1. Read config.json. Who doesn't ask for the store is forwarded untouched.
	spec, err := ocispec.Read(bundle)
	if errors.Is(err, fs.ErrNotExist) {
		// Without a specification nobody asks for anything, and nothing can be
		// created: the inner shim says so in its own words. A file that is there
		// and can't be understood is another matter. It may ask for the store in
		// a way that the inner shim understands, so it goes no further.
		return i.store.Check()
	}
	if err != nil {
		return err
	}
	request, err := spec.Store(i.devicePath)
	if err == nil && request == nil {
		return i.pass(id, spec)
	}
	if err := i.ask(ctx, id, spec, request, err); err != nil {
		i.metrics.Add(metrics.StoresRefused, reason(err))
		return err
	}
	return nil
}

// ask does what a container that asks for the store needs. malformed is what is
// wrong with its request.
func (i *Interceptor) ask(ctx context.Context, id string, spec *ocispec.Spec, request *ocispec.Store, malformed error) error {
	// 2. Check the request's form.
	if i.isSandbox(id, spec) {
		return fmt.Errorf("%w; give %s to a container of the pod", ErrOnSandbox, i.devicePath)
	}
	if malformed != nil {
		i.store.Refuse(id, malformed)
		return malformed
	}

	// 2. to 6. Check and claim the device, find the virtual machine, hotplug,
	// encrypt; or wait for whoever does so already.
	if err := i.store.Ensure(ctx, hostdev.Number(request.Number), id); err != nil {
		return err
	}

	// 7. Take the device out of config.json. (A Create that is repeated on this
	// bundle finds no request any more and passes: the store is ready and stays
	// so as long as there is a sandbox.)
	return spec.Rewrite(request)
}

// pass lets a container through that doesn't ask for the store. The sandbox's
// own is there before any other, and its image is never pulled in the guest.
func (i *Interceptor) pass(id string, spec *ocispec.Spec) error {
	if i.isSandbox(id, spec) {
		return nil
	}
	container := store.Container{ID: id, Name: cmp.Or(spec.Name(), id)}
	for _, n := range spec.BlockDevices() {
		container.Devices = append(container.Devices, hostdev.Number(n))
	}
	if err := i.store.Admit(container); err != nil {
		return err
	}
	i.noteDefaultPath(id, spec)
	return i.checkAlias(spec)
}

// noteDefaultPath tells the operator of a device at the proposal's path that does
// not ask for a store, because another path is configured. It is passed on like any other: who has moved our
// path may want it for another use. (Kata's own agent, where the guest has one
// with its data hub, makes a store of its own of that device.)
func (i *Interceptor) noteDefaultPath(id string, spec *ocispec.Spec) {
	if spec.HasDevice(config.DefaultDevicePath) {
		i.log.WithField("container", id).Warnf("the container has a device at %s, which asks for no trusted store here: device_path in %s is %s", config.DefaultDevicePath, config.DefaultPath, i.devicePath)
	}
}

// checkAlias keeps the store's disk from a container that names it under
// another path: Kata would hand it over as it is, below the encryption, and the
// container could destroy the pod's images.
func (i *Interceptor) checkAlias(spec *ocispec.Spec) error {
	device, ready := i.store.Device()
	if !ready {
		return nil
	}
	if path := spec.PathOf(ocispec.Number(device)); path != "" {
		return fmt.Errorf("%w: block device %s is the pod's store, and this container has it at %s; remove it from the container's volumeDevices",
			ocispec.ErrAliased, device, path)
	}
	return nil
}

func (i *Interceptor) isSandbox(id string, spec *ocispec.Spec) bool {
	return id == i.sandboxID || spec.IsSandbox()
}

// Killed is called when a container gets a SIGKILL, and does not wait.
func (i *Interceptor) Killed() { i.store.Killed() }

// Close ends what still runs and undoes it; the time limits bound the wait. It
// is called when no more Create comes.
func (i *Interceptor) Close() error {
	defer i.metrics.Close()
	return i.store.Close()
}
