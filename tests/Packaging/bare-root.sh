#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the command of a deb in a root that has glibc and OpenSSL, on which the package depends, and nothing else: no
# libibverbs, libcuda, ICU, Python or .NET.
# bare-root.sh DEB, as root.
set -euo pipefail
. "$(dirname "$0")/checks.sh"
deb=$1
work=$(mktemp -d)
dev=''
finish() {
  [ -z "$dev" ] || kill "$dev" 2>/dev/null || true
  wait 2>/dev/null || true
  umount "$work/root/proc" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
root=$work/root
dpkg-deb -x "$deb" "$work/package"
mkdir -p "$root"/{bin,proc,tmp,dev}
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/urandom" c 1 9
cp "$work/package/usr/bin/mooncake-mesh" "$root/bin/"
libraries=/usr/lib/x86_64-linux-gnu
ldd "$root/bin/mooncake-mesh" $libraries/lib{ssl,crypto}.so.3 | grep -oE '^\s*/[^ :]+|/[^ :]+\.so[^ :]*' \
  | sort -u | while read -r library; do
  install -D "$library" "$root$library"
done
mount -t proc proc "$root/proc"
head -c 100000 /dev/urandom >"$root/tmp/block"
in_root() { chroot "$root" /bin/mooncake-mesh "$@"; }

first_line() { # file that a process is still writing
  local line
  while kill -0 "$dev" 2>/dev/null; do
    if line=$(head -1 "$1") && [ -n "$line" ]; then echo "$line"; return; fi
  done
  false
}

check "the root has glibc and OpenSSL alone" same "$(find "$root" -xdev -name '*.so*' -printf '%f\n' \
  | grep -vE '^(libc|libm|libssl|libcrypto|ld-linux-x86-64)\.so\.[0-9]$')" ""
check "--version" grep -qE '^mooncake-mesh [0-9.]+$' <(in_root --version)
check "version, which looks for verbs and CUDA" grep -q '^cuda  *no library' <(in_root version)
chroot "$root" /bin/mooncake-mesh dev --nodes 1 --segment-size 16MiB >"$work/out" 2>"$work/log" &
dev=$!
node=$(first_line "$work/out" | sed -n 's/^node //p') || cat "$work/log"
check "dev says where it is" has "$node" 127.0.0.1:
check "put" in_root put k /tmp/block --node "$node" --deadline 20s
check "get" in_root get k --output /tmp/copy --node "$node" --deadline 20s
check "the same bytes" cmp "$root/tmp/block" "$root/tmp/copy"
summary
