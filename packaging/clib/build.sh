#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the C library into a folder: lib/ with the library, its names and pkg-config files, include/ with the headers.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/packaging/dev/setup.sh"

[ $# -eq 1 ] || { echo "usage: packaging/clib/build.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
need_dotnet
need_gcc

project=$root/src/Client/Exports
soname=libmooncake_mesh.so.0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# gcc links as well as clang does, and is there.
dotnet publish "$project/Mooncake.Mesh.Exports.csproj" -c Release -v q -nologo -p:PublishCLibrary=true \
  -p:CppCompilerAndLinker=gcc -o "$out/publish" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }

mkdir -p "$out/lib/pkgconfig" "$out/include"
install -m 755 "$out/publish/libmooncake_mesh.so" "$out/lib/$soname"
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
