#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds what a release consists of into a folder: deb and rpm, wheels, NuGet packages, and the sums of all.
# Twice from the same sources gives the same bytes.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. packaging/dev/setup.sh

usage() {
  cat >&2 <<'TEXT'
usage: packaging/build.sh [options] [FOLDER]
  --arch ARCH   amd64, or arm64, which is compiled across (the host's)
  --only WHAT   deb, rpm, wheels or nuget; may be repeated (all that the architecture has)
FOLDER is artifacts/release where none is named.
TEXT
  exit 2
}

host=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
arch=$host wanted=()
while [ $# -gt 0 ]; do
  case $1 in
    --arch) [ $# -ge 2 ] || usage; arch=$2; shift 2 ;;
    --only) [ $# -ge 2 ] || usage; wanted+=("$2"); shift 2 ;;
    -*) usage ;;
    *) break ;;
  esac
done
[ $# -le 1 ] || usage
folder=$(realpath -m "${1:-artifacts/release}")
# Wheels and NuGet packages are made by the build for amd64 alone.
[ ${#wanted[@]} -gt 0 ] || { wanted=(deb rpm); [ "$arch" != amd64 ] || wanted+=(wheels nuget); }
case $arch in
  amd64) export ARCH=amd64 MULTIARCH=x86_64-linux-gnu runtime=linux-x64 ;;
  arm64) export ARCH=arm64 MULTIARCH=aarch64-linux-gnu runtime=linux-arm64 ;;
  *) usage ;;
esac
for what in "${wanted[@]}"; do
  case $what in deb | rpm | wheels | nuget) ;; *) usage ;; esac
done

VERSION=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' Directory.Build.props)
# The day of the last change, so that a build does not depend on the day it is made.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export VERSION SOURCE_DATE_EPOCH
stage=$root/artifacts/stage
need_dotnet
need_gcc
need_packagers
[ "$arch" = "$host" ] || need_cross "$arch"

quietly() { # command: its output is shown when it fails
  local log; log=$(mktemp)
  "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
  rm -f "$log"
}

linker() { # properties that name the linker
  if [ "$arch" = "$host" ]; then echo -p:CppCompilerAndLinker=gcc; return; fi
  echo "-p:RuntimeIdentifier=$runtime" "-p:CppCompilerAndLinker=$root/packaging/tools/cross-gcc" \
    "-p:ObjCopyName=$MULTIARCH-objcopy"
}

program() {
  # shellcheck disable=SC2046 # words
  quietly dotnet publish src/Node -c Release -v q -nologo -p:PublishProgram=true $(linker) -o "$stage/publish"
  install -D -m 755 "$stage/publish/mooncake-mesh" "$stage/bin/mooncake-mesh"
}

library() {
  local file
  # shellcheck disable=SC2046 # words
  if [ "$arch" = amd64 ] && [ "$host" = amd64 ]; then
    quietly packaging/clib/build.sh "$stage/clib" x86-64-v4
  else
    CLIB_PROPERTIES=$(linker) quietly packaging/clib/build.sh "$stage/clib"
  fi
  rm -rf "$stage/clib/publish"
  cp -a "$stage/clib/lib" "$stage/lib"
  cp -a "$stage/clib/include" "$stage/include"
  # Installed files stay where they are, and the headers lie where every compiler looks.
  for file in "$stage"/lib/pkgconfig/*.pc; do
    sed -i 's|^prefix=.*|prefix=/usr|; s|^libdir=.*|libdir=${pcfiledir}/..|' "$file"
  done
}

documents() {
  packaging/tools/notices.py "$stage/doc"
  cp "$stage/doc"/* "$folder"
  # The help is the same for every architecture; this host may not run what it compiled across.
  local command=$stage/bin/mooncake-mesh
  if [ "$arch" != "$host" ]; then
    quietly dotnet build src/Node -c Release -v q -nologo
    command=src/Node/bin/Release/net10.0/mooncake-mesh
  fi
  packaging/tools/manpage.py "$command" "$stage/man/mooncake-mesh.1.gz"
}

package() { # deb or rpm
  if command -v nfpm >/dev/null; then
    nfpm package --config nfpm.yaml --packager "$1" --target "$folder"
  else
    packaging/tools/packages.py "$1" "$folder"
  fi
}

wheels() { /usr/bin/python3 packaging/wheels/build.py "$stage/lib/libmooncake_mesh.so.0" "$folder"; }

nuget() {
  local project
  for project in Mesh Verbs Cuda Client; do
    quietly dotnet pack "src/$project" -c Release -v q -nologo -o "$folder"
  done
  packaging/tools/settle.py "$folder"/*.nupkg "$folder"/*.snupkg
}

rm -rf "$stage"
mkdir -p "$stage" "$folder"
# What an earlier build has left is not of this one.
find "$folder" -maxdepth 1 -type f \( -name '*.deb' -o -name '*.rpm' -o -name '*.whl' -o -name '*nupkg' \) -delete
program
library
documents
for what in "${wanted[@]}"; do
  case $what in
    deb | rpm) package "$what" ;;
    *) "$what" ;;
  esac
done
(cd "$folder" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z \
  | xargs -0 sha256sum) >"$stage/sums"
mv "$stage/sums" "$folder/SHA256SUMS"
