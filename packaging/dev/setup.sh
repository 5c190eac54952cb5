# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh and test.sh: finds or installs what they need. Every function says in one line what is missing.

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0

stop() { echo "$(basename "$0"): $*" >&2; exit 1; }

# The .NET SDK is the one thing that is not installed here.
need_dotnet() {
  command -v dotnet >/dev/null || stop "no dotnet: install the .NET 10 SDK (https://dotnet.microsoft.com/download)"
  dotnet --version >/dev/null 2>&1 || stop "the .NET SDK found is older than 10: install the .NET 10 SDK"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Installs packages (first argument: why), without letting any service start.
install_packages() {
  local why=$1; shift
  command -v apt-get >/dev/null || stop "$why: this is no Debian or Ubuntu; install $* by hand"
  may_install || stop "$why: may not install; run 'sudo apt-get install $*' and start again"
  echo "== installing $*" >&2
  local policy=/usr/sbin/policy-rc.d ours=no
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy" && ours=yes
  fi
  local log; log=$(mktemp)
  { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"; } >"$log" 2>&1
  local rc=$?
  [ "$ours" = no ] || as_root rm -f "$policy"
  if [ $rc -ne 0 ]; then tail -5 "$log" >&2; rm -f "$log"; stop "$why: apt-get could not install $*"; fi
  rm -f "$log"
}

# Sets ETCD and ETCDCTL. An etcd that is there is used; the service of a freshly installed one stays disabled.
need_etcd() {
  if [ -n "${MOONCAKE_MESH_TEST_ETCD:-}" ]; then
    [ -x "$MOONCAKE_MESH_TEST_ETCD" ] || stop "MOONCAKE_MESH_TEST_ETCD=$MOONCAKE_MESH_TEST_ETCD is no program"
    ETCD=$MOONCAKE_MESH_TEST_ETCD
    ETCDCTL=$(dirname "$ETCD")/etcdctl
    [ -x "$ETCDCTL" ] || ETCDCTL=$(command -v etcdctl) || stop "no etcdctl beside $ETCD nor in PATH"
  else
    if ! command -v etcd >/dev/null || ! command -v etcdctl >/dev/null; then
      install_packages "etcd is needed (or name one in MOONCAKE_MESH_TEST_ETCD)" etcd-server etcd-client
      if command -v systemctl >/dev/null; then as_root systemctl disable etcd >/dev/null 2>&1 || true; fi
    fi
    ETCD=$(command -v etcd); ETCDCTL=$(command -v etcdctl)
  fi
  export MOONCAKE_MESH_TEST_ETCD=$ETCD ETCD ETCDCTL
}

# gcc builds test doubles of native libraries.
need_gcc() {
  command -v gcc >/dev/null || install_packages "gcc is needed" gcc libc6-dev
}

# g++, with the libraries of its sanitizers, builds programs that use the C library.
need_gxx() {
  command -v g++ >/dev/null || install_packages "g++ is needed" g++ libc6-dev
}

# python3 with venv builds the wheels and tests them.
need_python() {
  python3 -c 'import ensurepip' 2>/dev/null || install_packages "python3 with venv is needed" python3-venv
}

# What deb and rpm are built with.
need_packagers() {
  command -v dpkg-deb >/dev/null || stop "packages are built on Debian or Ubuntu; dpkg-deb is missing"
  command -v rpmbuild >/dev/null || install_packages "rpmbuild is needed" rpm
  /usr/bin/python3 -c 'import yaml' 2>/dev/null || install_packages "python3 with yaml is needed" python3 python3-yaml
}

# What the tests of the packages look at them with.
need_package_tests() {
  need_packagers
  command -v pkg-config >/dev/null || install_packages "pkg-config is needed" pkg-config
  command -v groff >/dev/null || install_packages "groff is needed" groff-base
}

# The compiler for another architecture.
need_cross() { # architecture
  [ "$1" = arm64 ] || stop "nothing here compiles for $1"
  command -v aarch64-linux-gnu-gcc >/dev/null \
    || install_packages "a compiler for arm64 is needed" gcc-aarch64-linux-gnu libc6-dev-arm64-cross
}

# What tests/SoftRoce makes its virtual machine of.
VM_PACKAGES=(qemu-system-x86 busybox-static cpio kmod binutils xz-utils iproute2
  ibverbs-providers ibverbs-utils perftest)

# A virtual machine with software RDMA devices: its processor is emulated, so neither KVM nor a device is needed.
need_vm() {
  [ "$(uname -m)" = x86_64 ] || stop "the virtual machine with RDMA devices is for x86-64, and this is $(uname -m)"
  command -v dpkg-query >/dev/null || stop "the virtual machine with RDMA devices needs Debian or Ubuntu"
  local missing=() package
  for package in "${VM_PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] \
    || install_packages "a virtual machine with RDMA devices is needed" "${missing[@]}"
}

# The disk of a virtual machine with systemd.
need_vm_disk() {
  command -v debootstrap >/dev/null && PATH=$PATH:/usr/sbin:/sbin command -v mke2fs >/dev/null \
    || install_packages "a disk for the virtual machine is needed" debootstrap e2fsprogs
  may_install || stop "making a disk for the virtual machine takes root or sudo"
}

# The layout of the verbs structs is checked against the C header.
need_verbs_headers() {
  [ -e /usr/include/infiniband/verbs.h ] || install_packages "infiniband/verbs.h is needed" libibverbs-dev
}
