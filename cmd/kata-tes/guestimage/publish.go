// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/kataconfig"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/verity"
)

// publish gives the new image its name, and writes the drop-in. It says whether
// the image was not there yet.
func (j *job) publish(report Report) (written bool, err error) {
	dropIn, err := j.stageDropIn(report)
	if err != nil {
		return false, err
	}
	if dropIn != "" {
		defer func() {
			if e := os.Remove(dropIn); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}()
	}
	if err := j.takeOver(); err != nil {
		return false, err
	}
	written, undo, err := j.place()
	if err != nil || dropIn == "" {
		return written, err
	}
	if err := os.Rename(dropIn, j.DropIn); err != nil {
		return false, errors.Join(fmt.Errorf("writing the drop-in: %w", err), undo())
	}
	return written, syncFolder(filepath.Dir(j.DropIn))
}

// takeOver gives the new image the input's permissions and, where that may be,
// its owner.
func (j *job) takeOver() error {
	info, err := j.image.Stat()
	if err != nil {
		return err
	}
	if owner, known := info.Sys().(*syscall.Stat_t); known && os.Geteuid() == 0 {
		if err := os.Chown(j.output, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(j.output, info.Mode().Perm())
}

// place renames the image to its name. The same one that is there already is
// left alone, another one is replaced only by force.
func (j *job) place() (written bool, undo func() error, err error) {
	nothing := func() error { return nil }
	same, err := sameContent(context.Background(), j.Out, j.output)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, nil, err
	}
	if same {
		return false, nothing, nil
	}
	if j.Force {
		err = os.Rename(j.output, j.Out)
		return err == nil, nothing, errors.Join(err, syncFolder(filepath.Dir(j.Out)))
	}
	// Unlike a rename this takes nothing away that has come meanwhile.
	err = os.Link(j.output, j.Out)
	if errors.Is(err, fs.ErrExist) {
		return false, nil, fmt.Errorf("%s is there already and is another image: remove it, choose another name, or use --force", j.Out)
	}
	if err != nil {
		return false, nil, err
	}
	return true, func() error { return os.Remove(j.Out) }, syncFolder(filepath.Dir(j.Out))
}

// stageDropIn writes the drop-in where Kata does not read it: in config.d it
// reads every file, whatever its name.
func (j *job) stageDropIn(report Report) (string, error) {
	if j.DropIn == "" {
		return "", nil
	}
	text, err := j.dropIn(report)
	if err != nil {
		return "", err
	}
	if err := j.checkInForce(text); err != nil {
		return "", err
	}
	folder := filepath.Dir(j.DropIn)
	if filepath.Base(folder) == "config.d" {
		folder = filepath.Dir(folder)
	}
	f, err := os.CreateTemp(folder, ".kata-tes-")
	if err != nil {
		return "", fmt.Errorf("writing the drop-in: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("writing the drop-in: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// dropIn names the image and its root hash.
func (j *job) dropIn(report Report) ([]byte, error) {
	hypervisor := kataconfig.DefaultHypervisor
	if j.kata != nil {
		hypervisor = j.kata.Hypervisor
	}
	if report.Kind == Initrd {
		// Kata refuses a configuration with both.
		return kataconfig.DropIn(hypervisor, []kataconfig.Key{{Name: "initrd", Value: j.Out}, {Name: "image", Value: ""}})
	}
	keys := []kataconfig.Key{{Name: "image", Value: j.Out}}
	m := report.Measured
	switch {
	case m == nil:
	case m.KernelParams == "":
		keys = append(keys, kataconfig.Key{Name: "kernel_verity_params", Value: m.KernelVerityParams})
	case j.kata == nil:
		return nil, errors.New("this image's root hash stands among kernel_params, of which a drop-in replaces all: " +
			"name Kata's configuration with --kata-config, so that the others are kept")
	default:
		keys = append(keys, kataconfig.Key{Name: "kernel_params", Value: verity.KernelParams(j.kata.KernelParams, m.root)})
	}
	return kataconfig.DropIn(hypervisor, keys)
}

// checkInForce refuses a drop-in that another one, read later, would take back.
func (j *job) checkInForce(text []byte) error {
	if j.kata == nil {
		return nil
	}
	// In force it is when nothing changes by putting it last. One that is elsewhere,
	// to be taken to other nodes, changes nothing here anyway.
	found, err := kataconfig.LoadWith(j.KataConfig, j.DropIn, text)
	if err != nil {
		return err
	}
	last, err := kataconfig.LoadLast(j.KataConfig, j.DropIn, text)
	if err != nil {
		return err
	}
	if found != last {
		return fmt.Errorf("the drop-in %s would have no effect, since a later one sets the same: choose a name that comes after it", j.DropIn)
	}
	return nil
}

// sameContent says whether two files have the same bytes. One that is not there
// is fs.ErrNotExist.
func sameContent(ctx context.Context, a, b string) (bool, error) {
	first, err := os.Open(a) //nolint:gosec // the operator's own choice
	if err != nil {
		return false, err
	}
	defer first.Close()       //nolint:errcheck // only read
	second, err := os.Open(b) //nolint:gosec // in our own folder
	if err != nil {
		return false, err
	}
	defer second.Close() //nolint:errcheck // only read
	x, y := make([]byte, chunkSize), make([]byte, chunkSize)
	for ctx.Err() == nil {
		n, err := io.ReadFull(first, x)
		m, err2 := io.ReadFull(second, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if err != nil || err2 != nil {
			return ended(err) && ended(err2), nil
		}
	}
	return false, context.Cause(ctx)
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// syncFolder makes a rename last.
func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // beside the output
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
