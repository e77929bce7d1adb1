// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command mkimage makes a container image of a few static programs, in the
// format of `docker save`, without a daemon or a network:
//
//	mkimage -o busybox.tar -name docker.io/library/busybox:latest -cmd sh /bin/busybox=build/busybox /bin/sh:/bin/busybox
//
// `path=file` copies a program, `link:target` makes a symbolic link.
package main

import (
	"flag"
	"log"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkimage: ")
	output := flag.String("o", "", "file to write")
	name := flag.String("name", "", "full name of the image, with a tag")
	command := flag.String("cmd", "sh", "default command, words separated by spaces")
	flag.Parse()
	if *output == "" || *name == "" || flag.NArg() == 0 {
		log.Fatal("-o, -name and at least one file are needed")
	}
	layer, err := newLayer(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	if err := writeImage(*output, *name, strings.Fields(*command), layer); err != nil {
		log.Fatal(err)
	}
}
