#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Looks at what packaging/build.sh has put into a folder: run.sh FOLDER
set -uo pipefail
[ $# -eq 1 ] || { echo "usage: tests/Packaging/run.sh FOLDER" >&2; exit 2; }
cd "$(dirname "$0")/../.."
. packaging/dev/setup.sh
. tests/Packaging/checks.sh
need_package_tests
RELEASE=$(realpath "$1")
export RELEASE PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
deb=$(echo "$RELEASE"/*.deb)

python_tests() { # file: each test counts
  local log=$work/log count bad
  /usr/bin/python3 "$1" >"$log" 2>&1
  tail -40 "$log"
  count=$(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' "$log")
  bad=$(grep -cE '^(FAIL|ERROR): ' "$log")
  [ -n "$count" ] || { count=1 bad=1; }
  passed=$((passed + count - bad)) failed=$((failed + bad))
}

python_tests tests/Packaging/test_description.py
python_tests tests/Packaging/test_container.py
python_tests tests/Packaging/test_release.py
python_tests tests/Packaging/test_libraries.py
dpkg-deb -x "$deb" "$work/deb"
mapfile -t binaries < <(find "$work/deb/usr" -type f \( -name 'lib*.so.*' -o -path '*/bin/*' \))
check "glibc 2.34, and no other library" packaging/tools/check-binaries.sh "${binaries[@]}"
check "a library that needs more is found out" not packaging/tools/check-binaries.sh "$(command -v bash)"
check "it runs where there is glibc and OpenSSL alone" as_root tests/Packaging/bare-root.sh "$deb"
summary
