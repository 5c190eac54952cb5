#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the tests. "./test.sh quick": unit tests alone, without etcd
# and without a virtual machine.
set -uo pipefail
cd "$(dirname "$0")"
. packaging/dev/setup.sh

mode=${1:-all}
case $mode in
  all|quick) ;;
  *) echo "usage: ./test.sh [quick]" >&2; exit 2 ;;
esac

unit="House Mesh.Tests Verbs.Tests Cuda.Tests Client.Tests Node.Tests"
whole="Simulation Cluster Native.Tests"
limit=900 # seconds, for one project
passed=0 failed=0
failures=$(mktemp) # the names of what failed, said once more at the end, where they are found
trap 'rm -f "$failures"' EXIT

part() { # name, command...
  local name=$1 start=$SECONDS rc; shift
  echo "== $name"
  "$@"; rc=$?
  echo "== $name: $((SECONDS - start)) s"
  return $rc
}

results_only() { grep -v -E '^xUnit.net|^  (Discover|Start|Finish)'; }

run_project() { # program
  timeout --kill-after=10 "$limit" "$1" -noColor 2>&1 | results_only
}

count() { # "Total", "Failed", ... in the summary line of a log
  grep -oE "$1: [0-9]+" "$2" | tail -1 | grep -oE '[0-9]+'
}

said_of_failures() { # name, log: which tests failed, and the first words of why
  awk -v name="$1" '/\[FAIL\]$|^(FAIL|ERROR|FAILED): / { sub(/^ */, ""); print "failed in " name ": " $0; left = 8; next }
    left > 0 { left--; print "    " substr($0, 1, 300) }' "$2"
}

judge() { # name, command that runs tests
  local log total bad skipped
  log=$(mktemp)
  part "$@" | tee "$log"
  said_of_failures "$1" "$log" >> "$failures"
  total=$(count Total "$log") skipped=$(count Skipped "$log")
  if [ -z "$total" ]; then
    echo "failed in $1: it ended without a result" >> "$failures"
    failed=$((failed + 1))
  else
    bad=$(($(count Failed "$log") + $(count Errors "$log")))
    passed=$((passed + total - bad - skipped)) failed=$((failed + bad))
  fi
  rm -f "$log"
}

program_of() { # project folder
  echo "$1/bin/Release/net10.0/$(basename "$1"/*.csproj .csproj)"
}

tests() { # project folder
  local folder=tests/$1
  compgen -G "$folder/*.cs" >/dev/null || compgen -G "$folder/*/*.cs" >/dev/null || return 0
  judge "$1" run_project "$(program_of "$folder")"
}

in_vm() { # program, its arguments: with RDMA devices, without which the tests fail there
  tests/SoftRoce/vm.sh --timeout "$limit" --env MESH_TEST_VERBS=1 -- "$@" -noColor 2>&1 | results_only
}

need_dotnet
need_gcc
[ "$mode" = quick ] || { need_etcd; need_vm; need_vm_disk; need_gxx; need_python; need_package_tests; }
need_verbs_headers
part build dotnet build Mooncake.Mesh.sln -c Release -v q -nologo || { echo "0 passed, 1 failed"; exit 1; }
for project in $unit; do tests "$project"; done
if [ "$mode" = all ]; then
  # Compiled ahead, which takes minutes: once, and not by each test that needs it.
  release=$PWD/artifacts/release
  export MOONCAKE_MESH_CLIB=$PWD/artifacts/stage/clib
  if ! part packages packaging/build.sh "$release"; then
    echo "failed: packages" >> "$failures"
    failed=$((failed + 1))
  fi
  for project in $whole; do
    case $project in
      # A simulated mesh leaves much behind that is dead at once. Collected every 64 MiB (bytes, in hexadecimal), and not
      # whenever the processor's cache is full, it takes a tenth less time.
      Simulation) DOTNET_GCgen0size=0x4000000 tests "$project" ;;
      *) tests "$project" ;;
    esac
  done
  node=src/Node/bin/Release/net10.0/mooncake-mesh
  judge Python tests/Python/run.sh "$MOONCAKE_MESH_CLIB/lib/libmooncake_mesh.so.0" "$node"
  judge Packages tests/Packaging/run.sh "$release"
  judge "Packages in a VM" packaging/test-install.sh deb "$release"
  judge "Verbs in a VM" in_vm "$(program_of tests/Verbs.Tests)" -class '*DeviceTests'
fi
echo "== all: $SECONDS s"
cat "$failures"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
