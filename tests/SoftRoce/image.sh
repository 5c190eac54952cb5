#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes what vm.sh boots, unless it is there: a kernel, and an initramfs of this machine's own programs and libraries.
# Prints the folder.
set -Eeuo pipefail
trap 'echo "image.sh: line $LINENO failed" >&2' ERR
here=$(dirname "$(realpath "$0")")
. "$here/../../packaging/dev/setup.sh"
need_vm

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mooncake-mesh-softroce
# The recipe: these two scripts, and the versions of what is copied.
recipe=$({ cat "$here/image.sh" "$here/guest.sh"; dpkg-query -W "${VM_PACKAGES[@]}" libc6 bash; } | sha256sum)
image=$cache/${recipe:0:16}
if [ -e "$image" ]; then
  echo "$image"
  exit
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -e "$image" ]; then
  echo "$image"
  exit
fi
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$work/image" "$root"/{usr/{bin,sbin,lib64,lib},dev,proc,sys,tmp,run,root,etc,modules}

# The kernel of the cloud has no InfiniBand, and that of this machine may be any: the distribution's generic one.
fetch_kernel() {
  local package
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1)
  [ -n "$package" ] && (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2)
}

kernel() {
  local packed release start
  if [ ! -e "$cache/kernel.deb" ]; then
    fetch_kernel 2>/dev/null || { as_root apt-get -q update >&2 && fetch_kernel; } \
      || stop "the kernel of the virtual machine cannot be fetched: apt-get download linux-image-amd64"
    mv "$work"/linux-image-*.deb "$cache/kernel.deb"
  fi
  dpkg-deb -x "$cache/kernel.deb" "$work/kernel"
  packed=$(echo "$work"/kernel/boot/vmlinuz-*)
  release=${packed##*/vmlinuz-}
  depmod -b "$work/kernel" "$release"
  # Unpacked here, not by every boot on an emulated processor; what follows the stream makes xz complain.
  start=$(LC_ALL=C grep -abom1 -P '\xfd7zXZ\x00' "$packed" | head -1 | cut -d: -f1) || stop "$packed is not packed by xz"
  tail -c "+$((start + 1))" "$packed" | xz -dc --single-stream >"$work/image/kernel" 2>/dev/null || true
  [ "$(head -c 4 "$work/image/kernel" | tr -d '\0')" = $'\x7fELF' ] || stop "$packed holds no kernel"
  modules "$release"
}

modules() { # kernel release
  # crc32-pclmul would be taken before the generic form, and is slower where each such instruction is emulated.
  module_list "$1" virtio_pci virtio_console 9pnet_virtio 9p crc32_generic ib_uverbs rdma_rxe veth bridge sch_netem \
    >"$root/modules/order"
  module_list "$1" virtio_pci virtio_blk crc32c_generic ext4 autofs4 | grep -vxFf "$root/modules/order" \
    >"$root/modules/disk"
  grep -q rdma_rxe "$root/modules/order" || stop "$cache/kernel.deb has no rdma_rxe"
}

module_list() { # kernel release, modules: copies them, and prints where they are in the order they load in
  local release=$1 name file
  shift
  for name; do
    modprobe -d "$work/kernel" -S "$release" --show-depends "$name"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
    # Without their signatures, which every boot would compute anew.
    strip --strip-debug -o "$root/modules/${file##*/}" "$file"
    echo "/modules/${file##*/}"
  done
}

copy() { # files, each with the libraries it is linked with
  local file
  for file in "$@" $({ ldd "$@" 2>/dev/null || true; } | sed -nE 's,^[^/]*(/[^ :]+\.so[^ :]*).*,\1,p'); do
    [ -e "$root/$file" ] || install -D "$file" "$root/$file"
  done
}

programs() {
  local name
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
  for name in bash ip rdma tc ibv_devinfo ibv_devices ib_write_bw ib_read_bw; do
    copy "$(command -v "$name")"
  done
  copy /usr/lib/x86_64-linux-gnu/{libstdc++.so.6,libgcc_s.so.1,libm.so.6,libdl.so.2,libpthread.so.0,librt.so.1} \
    /usr/lib/x86_64-linux-gnu/libibverbs/librxe-*.so /etc/libibverbs.d/rxe.driver
  # .NET opens it when it first needs a hash.
  for name in /usr/lib/x86_64-linux-gnu/lib{ssl,crypto}.so.3; do
    [ ! -e "$name" ] || copy "$name"
  done
  install "$(command -v busybox)" "$root/usr/bin/busybox"
  for name in $(busybox --list); do
    [ -e "$root/usr/bin/$name" ] || [ -e "$root/usr/sbin/$name" ] || ln -s busybox "$root/usr/bin/$name"
  done
  # busybox prefers its own "ip" to the one in PATH, which does not know of RDMA.
  ln -sf bash "$root/usr/bin/sh"
  install "$here/guest.sh" "$root/init"
  ln -s ../../init "$root/usr/bin/nic"
  echo root:x:0:0:root:/root:/bin/bash >"$root/etc/passwd"
  echo root:x:0: >"$root/etc/group"
  echo 127.0.0.1 localhost softroce >"$root/etc/hosts"
}

kernel
programs
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/image/initrd"
mv "$work/image" "$image"
# Images of other recipes; one that is a week old is in nobody's use.
find "$cache" -mindepth 1 -maxdepth 1 -type d -name '????????????????' -mtime +7 ! -path "$image" ! -path "$work" -exec rm -rf {} +
echo "$image"
