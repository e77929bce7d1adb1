// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command ociimage makes kata-tes's container image, for all architectures, of
// the static binaries that a release has, without a container engine: nothing
// but the binaries on an empty base. The same binaries give the same digests.
//
// The image goes into a folder (an OCI layout) and, where a name is given, to a
// registry, with the credentials that `docker login` or `podman login` left.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ociimage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("ociimage", flag.ContinueOnError)
	binaries := flags.String("binaries", "", "folder with a folder of binaries for each architecture")
	layout := flags.String("layout", "", "folder to write the OCI layout to; what is there is replaced")
	push := flags.String("push", "", "name to push to, such as registry.example.com/kata-tes:v1.2.3")
	version := flags.String("version", "unknown", "version that the image names")
	created := flags.Int64("created", 0, "the image's date, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *binaries == "" || *layout == "" || flags.NArg() > 0 {
		return fmt.Errorf("usage: ociimage -binaries FOLDER -layout FOLDER [-version VERSION] [-created SECONDS] [-push NAME]")
	}
	var to name.Tag
	if *push != "" {
		var err error
		if to, err = parseName(*push); err != nil {
			return err
		}
	}
	index, err := newIndex(*binaries, about{Version: *version, Created: time.Unix(*created, 0).UTC()})
	if err != nil {
		return err
	}
	if err := writeLayout(*layout, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("the image's digest: %w", err)
	}
	if *push == "" {
		fmt.Println(digest)
		return nil
	}
	if err := pushIndex(ctx, to, index); err != nil {
		return err
	}
	fmt.Printf("%s@%s\n", to, digest)
	return nil
}
