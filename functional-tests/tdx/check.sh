#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# Checks an installation of kata-tes on a real cluster: runs the proposal's pod
# and looks, through kubectl alone, at what a user relies on.
#
#   check.sh [--no-tdx] [--record FOLDER]   on the cluster that kubectl talks to
#   check.sh [--no-tdx] --dry FOLDER        no cluster: answers recorded in FOLDER
#
# What it needs:
#   - kubectl, and the right to create a namespace and pods and claims in it
#   - the RuntimeClass kata-qemu-tdx, served by kata-tes (docs/install.md)
#   - the StorageClass open-local-lvm with 1 GiB to give (volumeMode: Block)
#   - the images busybox and pause to be had by the guest
# All of that is checked before anything is changed. What it makes is in the
# namespace kata-tes-check, which is removed at the end, also after a failure
# and after Ctrl-C.
#
# --no-tdx leaves out the one check that only a TDX guest passes. --record
# writes down every question and answer, for --dry. KUBECTL names the program
# (kubectl), TIMEOUT the limit of each wait in seconds (300).
#
# Exit status: 0 all checks passed, 1 one failed, 2 something needed is missing.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
namespace=kata-tes-check
runtime_class=kata-qemu-tdx
storage_class=open-local-lvm
pod=trusted-lvm-block
claim=trusted-store-block-pvc
mapping=ephemeral_image_encrypted_disk
image_folders='/run/kata-containers/image|/run/image'
kubectl=${KUBECTL:-kubectl}
timeout=${TIMEOUT:-300}
tdx=yes
dry=
record=
asked=0
failed=0
made=no

usage() {
  sed -n 's/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed -n '3,27p'
  exit "$1"
}

while (($#)); do
  case $1 in
    --no-tdx) tdx=no ;;
    --dry | --record)
      [[ -n ${2:-} ]] || usage 2
      if [[ $1 == --dry ]]; then dry=$2; else record=$2; fi
      shift
      ;;
    -h | --help) usage 0 ;;
    *) usage 2 ;;
  esac
  shift
done
[[ -z $dry || -z $record ]] || usage 2
[[ -z $dry || -d $dry ]] || { echo "check.sh: $dry is not a folder with recorded answers" >&2 && exit 2; }
[[ -z $record ]] || mkdir -p "$record"

pass() { echo "  ok      $*"; }
skip() { echo "  skipped $*"; }
fail() {
  echo "  FAILED  $*"
  failed=1
}
missing() {
  echo "  MISSING $*"
  failed=2
}

# What kubectl gets as its standard input.
input=/dev/null

# ask ARGUMENTS...: kubectl's answer (standard output and error) in $answer, its
# exit status in $status. One recorded question is one file: the arguments,
# the exit status, the answer.
ask() {
  asked=$((asked + 1))
  if [[ -n $dry ]]; then
    recall "kubectl $*"
    return
  fi
  status=0
  answer=$(timeout $((timeout + 30)) "$kubectl" "$@" 2>&1 <"$input") || status=$?
  [[ -z $record ]] || printf 'kubectl %s\n%s\n%s\n' "$*" "$status" "$answer" >"$record/$(printf '%03d' "$asked")"
}

# recall QUESTION: the recorded answer, each one once.
declare -A recalled=()
recall() {
  local file
  for file in "$dry"/[0-9]*; do
    if [[ -f $file && -z ${recalled[$file]:-} && $(sed -n 1p "$file") == "$1" ]]; then
      recalled[$file]=yes
      status=$(sed -n 2p "$file")
      answer=$(sed 1,2d "$file")
      return
    fi
  done
  echo "check.sh: nothing is recorded for question $asked: $1; record again" >&2
  exit 2
}

# apply FILE: as it is. By standard input, so that what is recorded does not
# depend on where the file lies.
apply() {
  input=$1
  ask apply --namespace "$namespace" --filename -
  input=/dev/null
}

# guest COMMAND...: a command in the application's container. It shares the
# guest's kernel, so that /sys and /proc show the guest's.
guest() { ask exec --namespace "$namespace" "$pod" --container application -- "$@"; }

# shellcheck disable=SC2317 # by trap
clean_up() {
  local result=$?
  trap - EXIT INT TERM HUP
  if [[ $made == yes ]]; then
    echo
    echo "# Cleaning up"
    ask delete namespace "$namespace" --wait=true --timeout="${timeout}s"
    if ((status)); then
      fail "namespace $namespace is not gone: $answer; remove it by hand: kubectl delete namespace $namespace"
      ((result)) || result=1
    else
      pass "namespace $namespace is gone"
    fi
  fi
  exit "$result"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

check_needs() {
  echo "# What is needed (nothing is changed yet)"
  if [[ -z $dry ]] && ! command -v "$kubectl" >/dev/null; then
    missing "kubectl: install it, or name it with KUBECTL="
    exit 2
  fi
  ask version --output=yaml
  if ((status)); then
    missing "a cluster that kubectl reaches: $answer"
    exit 2
  fi
  pass "the cluster answers: $(sed -n '/^serverVersion:/,$s/^ *gitVersion: */Kubernetes /p' <<<"$answer")"

  ask get runtimeclass "$runtime_class" --output=jsonpath='{.handler}'
  if ((status)); then
    missing "RuntimeClass $runtime_class: kubectl apply -f configs/kubernetes/runtimeclass.yaml ($answer)"
  else
    pass "RuntimeClass $runtime_class has the handler $answer"
  fi
  ask get storageclass "$storage_class" --output=jsonpath='{.provisioner}'
  if ((status)); then
    missing "StorageClass $storage_class: install open-local, or make one of that name ($answer)"
  else
    pass "StorageClass $storage_class is provided by $answer"
  fi
  local what
  for what in namespaces pods persistentvolumeclaims pods/exec; do
    ask auth can-i create "$what" --namespace "$namespace"
    # can-i says yes, possibly after a warning, and exits with 1 for no.
    if ((status)); then missing "the right to create $what in namespace $namespace"; else pass "may create $what"; fi
  done
  ask get namespace "$namespace" --ignore-not-found --output=name
  if ((status)); then
    missing "a look at namespace $namespace: $answer"
  elif [[ -n $answer ]]; then
    missing "a free name: namespace $namespace is there already, left by a check that was killed? kubectl delete namespace $namespace"
  else
    pass "namespace $namespace is free"
  fi
  ((failed == 0)) || exit "$failed"
}

# run_pod applies the proposal's file as it is and waits for the pod.
run_pod() {
  echo
  echo "# The proposal's pod"
  # From here on there may be something to remove.
  made=yes
  ask create namespace "$namespace"
  ((status == 0)) || { fail "making namespace $namespace: $answer" && exit 1; }
  apply "$proposal"
  ((status == 0)) || { fail "applying $proposal: $answer" && exit 1; }
  ask wait --namespace "$namespace" "pod/$pod" --for=condition=Ready --timeout="${timeout}s"
  if ((status)); then
    fail "the pod is not ready: $answer"
    ask describe --namespace "$namespace" "pod/$pod"
    echo "$answer"
    exit 1
  fi
  ask get pods --namespace "$namespace" "$pod"
  echo "$answer"
  if grep -Eq "^$pod +2/2 +Running" <<<"$answer"; then pass "2/2 Running"; else fail "the pod is ready, but not 2/2 Running"; fi
}

check_guest() {
  echo
  echo "# Inside the guest"
  if [[ $tdx == yes ]]; then
    guest grep -c -w tdx_guest /proc/cpuinfo
    if ((status)); then fail "the guest's cpu has no tdx_guest flag: this is no TDX guest (--no-tdx leaves this out)"; else pass "a TDX guest"; fi
  else
    skip "whether it is a TDX guest (--no-tdx)"
  fi

  # The guest's device-mapper, as sysfs has it.
  guest sh -c "grep -l -x $mapping /sys/block/dm-*/dm/name"
  local name=$answer
  if ((status)); then
    fail "the guest has no mapping $mapping: $answer"
  else
    pass "the mapping $mapping is $(basename "$(dirname "$(dirname "$name")")")"
    guest cat "${name%/name}/uuid"
    # cryptsetup's: CRYPT-LUKS2-<uuid>-<name>.
    if [[ $status == 0 && $answer == CRYPT-LUKS2-*-$mapping ]]; then pass "it is LUKS2"; else fail "it is no LUKS2 mapping: $answer"; fi
  fi

  guest grep ' / / ' /proc/self/mountinfo
  if [[ $status == 0 && $answer =~ upperdir=($image_folders)/overlay/ && $answer =~ lowerdir=($image_folders)/layers/ ]]; then
    pass "the container's layers and its writable layer are where the store is mounted"
  else
    fail "the container's root is not on the store: $answer"
  fi
  check_size
  guest sh -c 'echo kept >/note && sync && cat /note'
  if [[ $status == 0 && $answer == kept ]]; then pass "the application writes and reads a file there"; else fail "writing a file: $answer"; fi
}

# check_size: an overlay shows the size of what its writable layer is on. The
# store has the volume's size less 16 MiB, and what ext4 needs of it.
check_size() {
  local volume root
  ask get --namespace "$namespace" "persistentvolumeclaim/$claim" --output=jsonpath='{.status.capacity.storage}'
  volume=$(numfmt --from=auto "${answer%B}" 2>/dev/null) || { fail "the claim's capacity: $answer" && return; }
  guest sh -c 'stat -f -c "%b %S" /'
  # shellcheck disable=SC2206 # two words: blocks and their size
  local words=($answer)
  if ((status)) || ((${#words[@]} != 2)); then
    fail "the size of the container's root: $answer"
    return
  fi
  root=$((words[0] * words[1]))
  if ((root <= volume && root * 100 >= volume * 80)); then
    pass "the container's root has $((root >> 20)) MiB of the volume's $((volume >> 20))"
  else
    fail "the container's root has $((root >> 20)) MiB, the volume $((volume >> 20)): it is elsewhere"
  fi
}

# check_lock: a second pod on the same volume is refused, in words that reach
# the user, and the first one goes on.
check_lock() {
  echo
  echo "# A second pod on the same volume"
  apply "$second"
  ((status == 0)) || { fail "applying $second: $answer" && return; }
  ask wait --namespace "$namespace" pod/second --for=jsonpath='{.status.containerStatuses[0].lastState.terminated.reason}'=StartError --timeout="${timeout}s"
  if ((status)); then
    fail "the second pod is not refused: $answer"
  else
    ask get --namespace "$namespace" pod/second --output=jsonpath='{.status.containerStatuses[0].lastState.terminated.message}'
    echo "  the user reads: $answer"
    if [[ $answer == *"in use by another pod"* ]]; then pass "refused in words"; else fail "the message does not say why"; fi
  fi
  guest cat /note
  if [[ $status == 0 && $answer == kept ]]; then pass "the first pod has its data"; else fail "the first pod lost its data: $answer"; fi
}

check_deletion() {
  echo
  echo "# Deletion"
  ask delete --namespace "$namespace" pod --all --wait=true --timeout="${timeout}s"
  if ((status)); then fail "the pods are not gone: $answer"; else pass "the pods are gone"; fi
}

proposal=$here/trusted_store_cc.yaml
[[ -f $proposal ]] || proposal=$here/../../configs/kubernetes/trusted_store_cc.yaml
second=$here/second.yaml
for file in "$proposal" "$second"; do
  [[ -f $file ]] || { echo "check.sh: $file is missing; keep this script in its checkout" >&2 && exit 2; }
done

check_needs
run_pod
check_guest
check_lock
check_deletion
exit "$failed"
