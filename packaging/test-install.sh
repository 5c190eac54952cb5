#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the packages on a clean Debian in a virtual machine, and goes through what a user does until they are purged.
# packaging/test-install.sh [deb|rpm] [FOLDER]: of that kind alone; packages that packaging/build.sh put into FOLDER.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. packaging/dev/setup.sh
. tests/Packaging/checks.sh

kinds=(deb rpm)
case ${1:-} in deb | rpm) kinds=("$1"); shift ;; esac
[ $# -le 1 ] || stop "usage: packaging/test-install.sh [deb|rpm] [FOLDER]"
release=${1:-$root/artifacts/release}
need_etcd
need_packagers
need_vm
[ $# -eq 1 ] || packaging/build.sh --only deb --only rpm "$release"

work=$root/artifacts/install-test
rm -rf "$work"
mkdir -p "$work/next" "$work/pages"
cp tests/Packaging/{guest,checks,documented}.sh tests/Packaging/documented.tsv "$ETCD" "$ETCDCTL" "$work"
cp docs/*.md "$work/pages"
version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
export ARCH=amd64 MULTIARCH=x86_64-linux-gnu SOURCE_DATE_EPOCH=0
for kind in "${kinds[@]}"; do
  old=$(find "$release" -maxdepth 1 -name "mooncake-mesh[-_]$version-*.$kind" | head -1)
  [ -n "$old" ] || stop "there is no $kind of version $version in $release"
  # The same files as a version that follows.
  new=$(VERSION=$version.1 packaging/tools/packages.py "$kind" "$work/next")
  cp "$old" "$work"
  echo "== $kind"
  (cd "$work" && "$root/tests/SoftRoce/vm.sh" --systemd --mem 2048 --timeout 1800 -- \
    bash guest.sh "$kind" "$(basename "$old")" "next/$(basename "$new")") && continue
  failed=$((failed + 1))
done
[ "$failed" -eq 0 ]
