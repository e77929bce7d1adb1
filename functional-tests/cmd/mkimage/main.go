// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command mkimage makes a container image of a few files, without a daemon or a
// network:
//
//	mkimage -archive busybox.tar -layout registry -name docker.io/library/busybox:latest -cmd sh \
//	  /bin/busybox=build/busybox /bin/sh:/bin/busybox /data=pattern:640M
//
// `path=file` copies a file and `link:target` makes a symbolic link. A word `++`
// begins a further layer. `path=pattern:size` is a file of that many MiB (suffix
// M) whose content takes its full size wherever it is unpacked, but hardly any
// compressed; `path=sum:size:file` is its checksum, for `sha256sum -c`.
//
// An archive is in the format of `docker save`, for containerd. A layout is the
// OCI's: a folder to which images are added, for a registry.
package main

import (
	"errors"
	"flag"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkimage: ")
	archive := flag.String("archive", "", "file to write")
	layout := flag.String("layout", "", "folder to add to")
	name := flag.String("name", "", "full name of the image, with a tag")
	command := flag.String("cmd", "sh", "default command, words separated by spaces")
	flag.Parse()
	if *archive == "" && *layout == "" || *name == "" || flag.NArg() == 0 {
		log.Fatal("-archive or -layout, -name and at least one file are needed")
	}
	if err := run(*archive, *layout, *name, strings.Fields(*command), flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(archive, layout, name string, command, files []string) (err error) {
	folder, err := os.MkdirTemp("", "mkimage-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	layers, err := newLayers(folder, files)
	if err != nil {
		return err
	}
	image, err := newImage(layers, command)
	if err != nil {
		return err
	}
	if archive != "" {
		if err := writeArchive(archive, name, image); err != nil {
			return err
		}
	}
	if layout != "" {
		return addToLayout(layout, name, image)
	}
	return nil
}
