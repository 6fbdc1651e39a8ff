#!/bin/sh
# aarch64.sh - the C tests for aarch64, in an emulator: the switch test with
# each backend, then those of the core with the assembly. libuv for aarch64 is
# taken from Debian's packages into a temporary folder; this machine's own list
# of packages is left alone. Uses CC_AARCH64, QEMU_AARCH64.
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

# get_libuv: 0 if $build/root holds it.
get_libuv() {
  command -v apt-get >/dev/null 2>&1 || return 1
  mkdir -p "$build/lists/partial" "$build/cache/archives/partial" || return 1
  set -- -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
    -o Dir::State::Lists="$build/lists" -o Dir::Cache="$build/cache" \
    -o Dir::State::status=/dev/null -o APT::Sandbox::User=root
  apt-get "$@" update >&2 || return 1
  (cd "$build" && apt-get "$@" download libuv1-dev >&2) || return 1
  dpkg -x "$build"/libuv1-dev_*.deb "$build/root"
}

libuv=$build/root/usr/lib/aarch64-linux-gnu/libuv_a.a
if ! get_libuv || [ ! -f "$libuv" ]; then
  echo "ok - skipped: the core's tests for aarch64: no libuv for it to be had"
  exit $failed
fi

flags="-std=c11 -D_GNU_SOURCE -O2 -I$root/core -I$build/root/usr/include"
for file in "$root"/core/*.c "$root/core/switch/aarch64.S"; do
  # shellcheck disable=SC2086  # several flags
  "$cc" $flags -c "$file" -o "$build/$(basename "$file").o" || failed=1
done
# qemu does not enforce the guards that stack_test runs into.
echo "ok - skipped: stack_test for aarch64: its overflows need a real kernel"
for name in hub timer scope fd post resolve loop hubs oom idle; do
  program=$build/${name}_test
  # shellcheck disable=SC2086
  if ! "$cc" $flags -static -o "$program" "$root/spec/c/${name}_test.c" \
      "$build"/*.o "$libuv" -lpthread -ldl 2>"$build/warnings"; then
    cat "$build/warnings" >&2
    echo "not ok - aarch64: ${name}_test builds"
    failed=1
    continue
  fi
  timeout 120 "$qemu" "$program" >"$build/out"
  status=$?
  sed "s/ok - /ok - aarch64: /" "$build/out"
  if [ $status != 0 ] && ! grep -q '^not ok' "$build/out"; then
    echo "not ok - aarch64: ${name}_test ended with status $status"
  fi
  [ $status = 0 ] || failed=1
done
exit $failed
