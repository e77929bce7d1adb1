// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/kataconfig"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// Report is what is in an image.
type Report struct {
	Image string `json:"image"`
	Kind  Kind   `json:"kind"`
	// Size in bytes.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Agent is the agent extension in it, if any.
	Agent *Agent `json:"agent,omitempty"`
	// Profiles of the stores, by their names, as the agent extension reads them.
	Profiles map[string]string `json:"profiles,omitempty"`
	// Measured is set for a rootfs image with a dm-verity hash tree.
	Measured *Measured `json:"measured,omitempty"`
	Checks   []Check   `json:"checks"`
}

// Complete says that nothing is missing.
func (r Report) Complete() bool { return refusal(r.Checks) == nil }

// Inspect looks at an image. With Kata's configuration (kataConfig, may be
// empty) it also says whether that belongs to this image. Its work is done in a
// folder of its own below folder.
func Inspect(ctx context.Context, path, kataConfig, folder string) (Report, error) {
	var kata *kataconfig.Image
	if kataConfig != "" {
		found, err := kataconfig.Load(kataConfig, "")
		if err != nil {
			return Report{}, err
		}
		kata = &found
	}
	return inspect(ctx, path, kata, nil, folder)
}

// inspect is Inspect with a salt of which a hash tree may have been made.
func inspect(ctx context.Context, path string, kata *kataconfig.Image, salt []byte, folder string) (report Report, err error) {
	image, err := openSource(path)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	folder, err = os.MkdirTemp(folder, ".kata-tes-")
	if err != nil {
		return Report{}, fmt.Errorf("a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	opened, err := image.open(ctx, folder)
	if err != nil {
		return Report{}, fmt.Errorf("the guest image %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, opened.close()) }()

	report = Report{Image: path, Kind: image.kind, Size: image.size}
	if report.SHA256, err = digest(ctx, image, image.size); err != nil {
		return Report{}, err
	}
	if err := report.lookInside(ctx, opened.guest()); err != nil {
		return Report{}, fmt.Errorf("the guest image %s: %w", path, err)
	}
	if err := report.lookMeasured(ctx, opened, kata, salt); err != nil {
		return Report{}, fmt.Errorf("the guest image %s: %w", path, err)
	}
	if kata != nil {
		report.Checks = append(report.Checks, report.named(*kata))
	}
	return report, nil
}

func digest(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	chunk := make([]byte, chunkSize)
	for at := int64(0); at < size; at += int64(len(chunk)) {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		chunk = chunk[:min(chunkSize, size-at)]
		if _, err := r.ReadAt(chunk, at); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the image: %w", err)
		}
		h.Write(chunk)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lookMeasured adds how the image is measured.
func (r *Report) lookMeasured(ctx context.Context, o opened, kata *kataconfig.Image, salt []byte) error {
	candidates, err := candidatesOf(kata)
	if err != nil {
		return err
	}
	if m, isRootfs := o.(*rootfs); isRootfs && len(salt) > 0 {
		candidates = append(candidates, m.params(m.layout.Root.Size, salt))
	}
	if r.Measured, err = o.measure(ctx, candidates); err != nil || r.Measured == nil {
		return err
	}
	const name = "dm-verity"
	if r.Measured.RootHash == "" {
		r.Checks = append(r.Checks, Check{
			Name: name, State: Unknown, Found: "a hash tree whose salt is not in the image",
			Remedy: "name the configuration of Kata that belongs to the image with --kata-config",
		})
		return nil
	}
	r.Checks = append(r.Checks, ok(name, "root hash %s", r.Measured.RootHash))
	return nil
}

// candidatesOf has the parameters that Kata's configuration names.
func candidatesOf(kata *kataconfig.Image) ([]verity.Params, error) {
	if kata == nil || kata.KernelVerityParams == "" {
		return nil, nil
	}
	params, _, err := verity.ParseKernelVerityParams(kata.KernelVerityParams)
	if err != nil {
		return nil, fmt.Errorf("the configuration of Kata: %w", err)
	}
	return []verity.Params{params}, nil
}

// named holds Kata's configuration against the image.
func (r *Report) named(kata kataconfig.Image) Check {
	const name, remedy = "Kata's configuration", "write a drop-in for this image: kata-tes guest-image --drop-in"
	configured := kata.Image
	if r.Kind == Initrd {
		configured = kata.Initrd
	}
	switch {
	case kata.Image != "" && kata.Initrd != "":
		return missing(name, "set one of them to \"\" in a drop-in", "it names both image and initrd")
	case !kata.Names(r.Image):
		return missing(name, remedy, "it names %q, not this image", configured)
	case r.Measured == nil:
		return r.namedUnmeasured(kata, name)
	}
	key, root, err := configuredRoot(kata, r.Measured.KernelParams != "")
	switch {
	case err != nil:
		return missing(name, remedy, "%s", err)
	case len(root) == 0:
		return missing(name, remedy, "%s has no root hash: the guest would not notice a changed image", key)
	case r.Measured.RootHash != hex.EncodeToString(root):
		return missing(name, remedy, "%s has the root hash %x, which is not that of the image: the guest would not boot", key, root)
	}
	return ok(name, "it names this image and its root hash")
}

// configuredRoot is the root hash that Kata's configuration has, under which key;
// nil when it has none.
func configuredRoot(kata kataconfig.Image, inKernelParams bool) (key string, root []byte, err error) {
	if inKernelParams {
		return "kernel_params", verity.RootHashOf(kata.KernelParams), nil
	}
	if kata.KernelVerityParams != "" {
		_, root, err = verity.ParseKernelVerityParams(kata.KernelVerityParams)
	}
	return "kernel_verity_params", root, err
}

// namedUnmeasured: parameters for a hash tree need one.
func (r *Report) namedUnmeasured(kata kataconfig.Image, name string) Check {
	if r.Kind == Rootfs && (kata.KernelVerityParams != "" || verity.RootHashOf(kata.KernelParams) != nil) {
		return missing(name, "take an image with a dm-verity hash tree, or set kernel_verity_params to \"\" in a drop-in",
			"it has a root hash, and the image no hash tree: the guest would not boot")
	}
	return ok(name, "it names this image")
}
