// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/kataconfig"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// Result is what came of a request.
type Result struct {
	Report
	// Changed: the output is not the same as the input.
	Changed bool `json:"changed"`
	// Written: the output was not there yet.
	Written bool `json:"written"`
	// Put are the paths in the image that were written.
	Put []string `json:"put,omitempty"`
	// DropIn is the drop-in that was written.
	DropIn string `json:"dropIn,omitempty"`
}

// job is one request at work.
type job struct {
	Request
	agent  Agent
	kata   *kataconfig.Image
	image  *source
	folder string
	// output is the new image before it has its name.
	output string
	put    []string
}

// Install puts the agent extension into an image. After an error nothing has
// changed.
func Install(ctx context.Context, r Request) (_ Result, err error) {
	j := &job{Request: r}
	if err := j.prepare(); err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, j.image.Close(), os.RemoveAll(j.folder)) }()

	if err := j.change(ctx); err != nil {
		return Result{}, fmt.Errorf("the guest image %s: %w", j.In, err)
	}
	report, err := inspect(ctx, j.output, nil, j.Salt, j.folder)
	if err != nil {
		return Result{}, fmt.Errorf("looking at the new image: %w", err)
	}
	if err := refusal(report.Checks); err != nil {
		return Result{}, fmt.Errorf("looking at the new image: %w", err)
	}
	same, err := sameContent(ctx, j.In, j.output)
	if err != nil {
		return Result{}, err
	}
	report.Image = j.Out
	result := Result{Report: report, Changed: !same, DropIn: j.DropIn}
	if result.Changed {
		result.Put = j.put
	}
	result.Written, err = j.publish(report)
	return result, err
}

// prepare looks at all that was given before anything is made.
func (j *job) prepare() (err error) {
	if err := j.complete(); err != nil {
		return err
	}
	if j.agent, err = LoadAgent(j.Agent); err != nil {
		return err
	}
	if j.DropIn != "" {
		if err := kataconfig.CanWrite(j.DropIn); err != nil {
			return err
		}
	}
	if j.KataConfig != "" {
		kata, err := kataconfig.Load(j.KataConfig, j.DropIn)
		if err != nil {
			return err
		}
		j.kata = &kata
	}
	if j.image, err = openSource(j.In); err != nil {
		return err
	}
	if j.folder, err = os.MkdirTemp(filepath.Dir(j.Out), ".kata-tes-"); err != nil {
		return errors.Join(fmt.Errorf("a folder to work in, beside the output: %w", err), j.image.Close())
	}
	j.output = filepath.Join(j.folder, "image")
	return nil
}

// change makes the new image.
func (j *job) change(ctx context.Context) error {
	work := filepath.Join(j.folder, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	if j.image.kind == Initrd {
		return j.changeInitrd(ctx, work)
	}
	return j.changeRootfs(ctx, work)
}

// steps are what has to be done in an image, when the agent extension can work
// in it.
func (j *job) steps(ctx context.Context, g guestTree, configuration []byte) ([]tree.Step, error) {
	if err := overridden(ctx, g); err != nil {
		return nil, fmt.Errorf("%w: make the image without it", err)
	}
	return tree.Plan(ctx, g, files(j.agent, configuration))
}

// require gives agent.toml, and an error for an image in which the agent
// extension can't work.
func (j *job) require(ctx context.Context, g guestTree) ([]byte, error) {
	text, c, err := configuration(ctx, j.Request, g)
	if err != nil {
		return nil, err
	}
	checks, err := g.requirements(ctx, c, j.agent.machine)
	if err != nil {
		return nil, err
	}
	return text, refusal(checks)
}

func (j *job) changeRootfs(ctx context.Context, work string) error {
	r, err := openRootfs(ctx, j.image, work)
	if err != nil {
		return err
	}
	text, err := j.require(ctx, r.guest())
	if err != nil {
		return err
	}
	measured, err := j.measureInput(ctx, r)
	if err != nil {
		return err
	}
	steps, err := j.steps(ctx, r.guest(), text)
	if err != nil {
		return err
	}
	j.note(steps)
	if len(steps) == 0 && (measured == nil || measured.RootHash != "" && len(j.Salt) == 0) {
		return j.write(func(to *os.File) error { return copyWhole(ctx, to, j.image) })
	}
	layout, err := r.change(ctx, steps)
	if err != nil {
		return err
	}
	return j.write(func(to *os.File) error { return r.assemble(ctx, to, layout, measured, j.Salt) })
}

// measureInput refuses an image that is not the one that Kata's configuration
// measures.
func (j *job) measureInput(ctx context.Context, r *rootfs) (*Measured, error) {
	var candidates []verity.Params
	ofThis := j.kata != nil && j.kata.Names(j.In)
	if ofThis {
		var err error
		if candidates, err = candidatesOf(j.kata); err != nil {
			return nil, err
		}
	}
	measured, err := r.measure(ctx, candidates)
	if err != nil || measured == nil || !ofThis {
		return measured, err
	}
	report := Report{Image: j.In, Kind: Rootfs, Measured: measured}
	return measured, refusal([]Check{report.named(*j.kata)})
}

func (j *job) changeInitrd(ctx context.Context, work string) (err error) {
	whole, err := openInitrd(ctx, j.image, j.image.size, work)
	if err != nil {
		return err
	}
	text, err := j.require(ctx, whole.guest())
	size := whole.archive.Base(j.image.size)
	if err := errors.Join(err, whole.close()); err != nil {
		return err
	}
	// What an earlier kata-tes has appended is replaced.
	base, err := openInitrd(ctx, j.image, size, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	steps, err := j.steps(ctx, base.guest(), text)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return j.write(func(to *os.File) error { return copyWhole(ctx, to, j.image) })
	}
	j.note(steps)
	return j.write(func(to *os.File) error { return base.assemble(ctx, to, steps) })
}

// note keeps the paths that are written.
func (j *job) note(steps []tree.Step) {
	for _, step := range steps {
		j.put = append(j.put, step.Path)
	}
}

// write makes the output by fill.
func (j *job) write(fill func(*os.File) error) (err error) {
	to, err := os.OpenFile(j.output, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := fill(to); err != nil {
		return err
	}
	return to.Sync()
}

func copyWhole(ctx context.Context, to *os.File, from *source) error {
	if err := to.Truncate(from.size); err != nil {
		return err
	}
	return copySparse(ctx, to, 0, from, 0, from.size)
}
