#!/bin/sh
# gdb_backtrace.sh PROGRAM - a backtrace taken inside a context ends at its
# entry. PROGRAM is a built switch_test.
#
# SPDX-License-Identifier: MIT
says="gdb's backtrace of a green thread ends cleanly at its entry"

skip() {
  echo "ok - skipped: $says: $1"
  exit 0
}

command -v gdb >/dev/null 2>&1 || skip "no gdb here"
trace=$(gdb -nx -batch -ex run -ex bt --args "$1" stop 2>&1)
frames=$(printf '%s\n' "$trace" | grep '^#')
case $trace in
  *ucontext.c*) skip "the C library makes these contexts" ;;
  *ptrace:*not\ permitted*) skip "gdb may not trace here" ;;
esac

last=$(printf '%s\n' "$frames" | tail -n 1)
case $frames in *stops_in_the_thread*trapped*) good=1 ;; *) good=0 ;; esac
case $frames in *' main '*|*'??'*|*orrupt*) good=0 ;; esac
case $last in *green__context_start*) ;; *) good=0 ;; esac

if [ $good = 1 ]; then
  echo "ok - $says"
else
  echo "not ok - $says"
  printf '%s\n' "$trace" | sed 's/^/# /'
  exit 1
fi
