# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What a release is called, and archives that are the same each time.

# source_date: the moment of the commit, in seconds since 1970; of a tree without
# git what SOURCE_DATE_EPOCH says.
source_date() {
  if [[ -n ${SOURCE_DATE_EPOCH:-} ]]; then
    echo "$SOURCE_DATE_EPOCH"
  elif ! git log -1 --format=%ct 2>/dev/null; then
    echo "make release: this is no git repository: set SOURCE_DATE_EPOCH" >&2
    return 1
  fi
}

# version_number VERSION: what `git describe` says, as a semantic version (which
# Helm and OCI tools demand). A tag's v is left out; commits after a tag and
# changes after a commit are build metadata, as is a version without any tag.
version_number() {
  local version=${1%-dirty} metadata=()
  if [[ $version =~ ^v([0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?)(-([0-9]+)-(g[0-9a-f]+))?$ ]]; then
    version=${BASH_REMATCH[1]}
    [[ -z ${BASH_REMATCH[3]} ]] || metadata+=("${BASH_REMATCH[4]}" "${BASH_REMATCH[5]}")
  elif [[ $version =~ ^[0-9a-f]{7,40}$ ]]; then
    metadata+=("g$version")
    version=0.0.0
  else
    echo "make release: version '$1' is neither a tag (v1.2.3, v1.2.3-rc.1) nor a commit, as git describe gives them" >&2
    return 1
  fi
  [[ $1 != *-dirty ]] || metadata+=(dirty)
  local IFS=.
  echo "$version${metadata[*]:++${metadata[*]}}"
}

# deb_version NUMBER: for Debian, a tilde sorts a release candidate before the
# release.
deb_version() { echo "${1/-/\~}"; }

# archive FOLDER NAME FILE: FOLDER/NAME as a tar archive with sorted names, one
# moment, and root as owner.
archive() {
  tar -C "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode='u+rw,go=rX' --format=gnu -cf - "$2" | gzip -9 -n >"$3"
}
