#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the C library into a folder: lib/ with the library, its names and pkg-config files, include/ with the headers.
# With x86-64-v4 it builds a second one for processors that have AVX-512, which sums large objects half as fast again; the
# loader takes it by itself where it fits (lib/glibc-hwcaps).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/packaging/dev/setup.sh"

case "$#${2:-}" in
  1|2x86-64-v4) ;;
  *) echo "usage: packaging/clib/build.sh FOLDER [x86-64-v4]" >&2; exit 2 ;;
esac
mkdir -p "$1"
out=$(cd "$1" && pwd)
need_dotnet
need_gcc

project=$root/src/Client/Exports
soname=libmooncake_mesh.so.0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
publish() { # folder for the library, properties...
  local folder=$1; shift
  # gcc links as well as clang does, and is there. CLIB_PROPERTIES has it done across.
  # shellcheck disable=SC2086 # words
  dotnet publish "$project/Mooncake.Mesh.Exports.csproj" -c Release -v q -nologo -p:PublishCLibrary=true \
    ${CLIB_PROPERTIES:--p:CppCompilerAndLinker=gcc} "$@" -o "$out/publish" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  mkdir -p "$folder"
  install -m 755 "$out/publish/libmooncake_mesh.so" "$folder/$soname"
}

[ $# -eq 1 ] || publish "$out/lib/glibc-hwcaps/$2" "-p:IlcInstructionSet=$2"
publish "$out/lib"
mkdir -p "$out/lib/pkgconfig" "$out/include"
for name in libmooncake_mesh libmooncake_store libtransfer_engine; do
  ln -sf "$soname" "$out/lib/$name.so"
done
install -m 644 "$project"/include/*.h "$out/include/"

version=$(sed -n 's|.*<Version>\(.*\)</Version>.*|\1|p' "$root/Directory.Build.props")
pc() { # name, description
  # Relative to the file, so that the folder may be moved.
  cat >"$out/lib/pkgconfig/$1.pc" <<END
prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: $1
Description: $2
Version: $version
Libs: -L\${libdir} -l$1
Cflags: -I\${includedir}
END
}
pc mooncake_mesh "Mooncake.Mesh: a masterless cache for KV blocks"
pc mooncake_store "Mooncake's store, on Mooncake.Mesh"
pc transfer_engine "Mooncake's transfer engine, on Mooncake.Mesh"
echo "$out/lib/$soname"
