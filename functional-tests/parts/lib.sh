# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the scripts of the parts share: where things are, and the cache.
#
# A part is a folder build/parts/<name>. It is built into a temporary folder
# beside it and renamed when it is complete, so that an interrupted build
# leaves either the old part or none. The file .key inside holds a checksum of
# everything that went in: the part's scripts, versions, other parts, and what
# a person asked for by variable.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
repo=$(cd "$tests/.." && pwd)
build=${KATA_TES_BUILD:-$repo/build}
parts=$build/parts

# Kata's module is not in the checksum database (go.sum pins it), nor is one
# of its requirements under the checksum that the database has.
export GONOSUMDB='github.com/cri-o/*,github.com/kata-containers/*'
export GOFLAGS=-buildvcs=false
export CGO_ENABLED=0

say() { echo "${0##*/}: $*"; }

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# checksum PATH...: one checksum over the contents and names of files and
# folders. A word that names no file counts as itself (a version).
checksum() {
  local input
  for input in "$@"; do
    if [[ -d $input ]]; then
      (cd "$input" && find . -type f ! -name '*_test.go' -print0 | LC_ALL=C sort -z | xargs -0r sha256sum)
    elif [[ -f $input ]]; then
      sha256sum <"$input"
    else
      echo "$input"
    fi
  done | sha256sum | cut -d' ' -f1
}

# key_of PART: the key under which the part is cached now.
key_of() { cat "$parts/$1/.key"; }

# part NAME FUNCTION INPUT...: makes build/parts/NAME by calling FUNCTION with
# a new folder, unless one with the same inputs is there. The script that
# calls it and this library are inputs always.
part() {
  local name=$1 function=$2 key started temporary status
  shift 2
  key=$(checksum "$0" "${BASH_SOURCE[0]}" "$@")
  mkdir -p "$parts"
  # Two builds of one part at a time would remove each other's folders.
  exec 8>"$parts/.$name.lock"
  flock 8
  if [[ -f $parts/$name/.key && $(<"$parts/$name/.key") == "$key" ]]; then
    say "$name is current"
    exec 8>&-
    return 0
  fi
  say "building $name"
  started=$SECONDS
  temporary=$parts/.$name.new
  rm -rf "$temporary"
  mkdir -p "$temporary"
  # A subshell of its own: `set -e` holds in it, and a failure names the part.
  set +e
  (
    set -e
    exec 8>&-
    "$function" "$temporary"
  )
  status=$?
  set -e
  if ((status)); then
    rm -rf "$temporary"
    die "building $name failed (exit status $status)"
  fi
  echo "$key" >"$temporary/.key"
  rm -rf "${parts:?}/$name"
  mv "$temporary" "$parts/$name"
  exec 8>&-
  say "built $name in $((SECONDS - started)) s"
}
