#!/usr/bin/env bash
# Builds and runs the tests. "./test.sh quick": unit tests alone.
set -uo pipefail
cd "$(dirname "$0")"
mode=${1:-all}
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1
passed=0 failed=0
part() { # name, command...
  local name=$1 start=$SECONDS; shift
  echo "== $name"
  "$@"; local rc=$?
  echo "== $name: $((SECONDS - start)) s"
  return $rc
}
build() { dotnet build Mooncake.Mesh.sln -c Release -v q -nologo; }
tests() { # project folder
  local project=$1 log; log=$(mktemp)
  part "$project" dotnet test "tests/$project" -c Release --no-build --logger "console;verbosity=minimal" 2>&1 | tee "$log"
  local p f
  p=$(grep -oE 'Passed: +[0-9]+' "$log" | grep -oE '[0-9]+' | tail -1); f=$(grep -oE 'Failed: +[0-9]+' "$log" | grep -oE '[0-9]+' | tail -1)
  if [ -z "$p" ]; then failed=$((failed + 1)); echo "$project: no result"; else passed=$((passed + p)); failed=$((failed + ${f:-0})); fi
  rm -f "$log"
}
part build build || { echo "0 passed, 1 failed"; exit 1; }
tests Mesh.Tests
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
