#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three nodes, a trace replayed with every byte checked, one node killed on the way.
# "./demo.sh": one process, registry in memory. "./demo.sh --etcd": three processes on an etcd of their own.
set -uo pipefail
cd "$(dirname "$0")"
. packaging/dev/setup.sh

case ${1:-} in
  ""|--etcd) ;;
  *) echo "usage: ./demo.sh [--etcd]" >&2; exit 2 ;;
esac

mesh=src/Node/bin/Release/net10.0/mooncake-mesh
need_dotnet
echo "== build"
dotnet build src/Node -c Release -v q -nologo || stop "the build failed"

if [ "${1:-}" = "" ]; then
  echo "== demo"
  exec "$mesh" demo --block-size 32KiB
fi

need_etcd
folder=$(mktemp -d)
pids=()
clean() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$folder"
}
trap clean EXIT
trap 'exit 1' INT TERM

wait_for() { # seconds, what, command...
  local until=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || stop "$what did not come up; see its last lines:
$(tail -3 "$folder"/*.log 2>/dev/null)"
    sleep 0.1
  done
}

start_etcd() { # tries ports of its own until etcd takes them
  local try port
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    "$ETCD" --name demo --data-dir "$folder/etcd" \
      --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
      --listen-peer-urls "http://127.0.0.1:$((port + 1))" \
      --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
      --initial-cluster "demo=http://127.0.0.1:$((port + 1))" >"$folder/etcd.log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || break
      if ETCDCTL_API=3 "$ETCDCTL" --endpoints "127.0.0.1:$port" endpoint health >/dev/null 2>&1; then
        endpoint=127.0.0.1:$port
        return
      fi
      sleep 0.1
    done
    rm -rf "$folder/etcd"
  done
  stop "etcd did not start: $(tail -1 "$folder/etcd.log")"
}

echo "== etcd"
start_etcd
echo "== three nodes"
for n in 1 2 3; do
  "$mesh" serve --cluster demo --node-id "demo-$n" --etcd-endpoints "$endpoint" --segments 128MiB --json \
    >"$folder/node-$n.json" 2>"$folder/node-$n.log" &
  pids+=($!)
  last=$!
  disown "$last" # the shell shall not report how it ended
done
for n in 1 2 3; do wait_for 30 "node demo-$n" test -s "$folder/node-$n.json"; done

echo "== demo"
"$mesh" demo --etcd "$endpoint" --cluster demo --kill "$last" --block-size 32KiB
rc=$?
disown -a
exit $rc
