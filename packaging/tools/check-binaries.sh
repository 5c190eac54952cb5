#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whether programs and libraries run on every Linux with glibc 2.34, and need no other library:
# check-binaries.sh FILE...
set -euo pipefail
export LC_ALL=C
most=2.34
bad=0

wrong() { echo "$1: $2" >&2; bad=1; }

[ $# -gt 0 ] || { echo "usage: packaging/tools/check-binaries.sh FILE..." >&2; exit 2; }
for file; do
  headers=$(objdump -p "$file")
  newest=$(objdump -T "$file" | grep -oE 'GLIBC_[0-9.]+' | sed 's/GLIBC_//' | sort -Vu | tail -1)
  [ -n "$newest" ] || wrong "$file" "has no symbol of glibc: is it linked as it should be?"
  [ "$(printf '%s\n' "$newest" $most | sort -V | tail -1)" = $most ] || wrong "$file" "needs glibc $newest, over $most"
  ! objdump -T "$file" | grep -qE 'GLIBCXX|CXXABI' || wrong "$file" "needs the library of C++"
  while read -r needed; do
    case $needed in
      libc.so.6 | libm.so.6 | ld-linux*.so.*) ;; # the loader is glibc's
      *) wrong "$file" "needs $needed" ;;
    esac
  done < <(sed -n 's/^ *NEEDED *//p' <<<"$headers")
  ! grep -qE '^ *(RPATH|RUNPATH) ' <<<"$headers" || wrong "$file" "looks for libraries at a path of its own"
  echo "$file: glibc $newest, $(sed -n 's/^ *NEEDED *//p' <<<"$headers" | tr '\n' ' ')"
done
exit $bad
