#!/bin/sh
# aarch64.sh - builds the switch test for aarch64, with the assembly and with
# ucontext, and runs both in an emulator. Uses CC_AARCH64, QEMU_AARCH64.
#
# SPDX-License-Identifier: MIT
cc=${CC_AARCH64:-aarch64-linux-gnu-gcc}
qemu=${QEMU_AARCH64:-qemu-aarch64}
root=$(cd "$(dirname "$0")/../.." && pwd)

if ! command -v "$cc" >/dev/null 2>&1 || ! command -v "$qemu" >/dev/null 2>&1
then
  echo "ok - skipped: no aarch64 cross compiler or qemu here"
  exit 0
fi

build=$(mktemp -d) || exit 1
trap 'rm -rf "$build"' EXIT
failed=0

# try NAME FLAGS: one build of the test, all of its lines marked with NAME
try() {
  name=$1
  backend=$2
  shift 2
  program=$build/switch_test
  if ! "$cc" -std=gnu11 -Wall -Wextra "$@" -static -o "$program" \
      "$root/spec/c/switch_test.c" "$root/core/switch/$backend"; then
    echo "not ok - aarch64, $name: it builds"
    failed=1
    return
  fi
  "$qemu" "$program" >"$build/out" || failed=1
  sed "s/ok - /ok - aarch64, $name: /" "$build/out"
}

try "assembly" aarch64.S -O2
try "assembly, -O0" aarch64.S -O0
try "assembly, branch protection" aarch64.S -O2 -mbranch-protection=standard
try "ucontext" ucontext.c -O2
exit $failed
