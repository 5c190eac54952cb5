#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by guest.sh: the commands of the pages, as they stand there, by the table documented.tsv. etcd and etcdctl,
# the table and pages/ lie in the current folder.
user=root number=0 step=''

in_vm() { # command: as the machine is small and slow, and has other cards
  local clients='^mooncake-mesh (put|get|ls|rm|status) .*'
  sed -E "s/64GiB/64MiB/g; s/1GiB/64MiB/g; s/mlx5_/rxe/g; s/$clients/& --deadline 30s/" <<<"$1"
}

stop_last() { systemctl stop "$step"; }

run_vm() { # codes, command, which is told yes where it asks
  local code=0
  if [ "$user" = root ]; then
    bash -c "$2" <<<y || code=$?
  else
    runuser -u "$user" -- bash -c "$2" <<<y || code=$?
  fi
  [[ ,$1, == *,$code,* ]] || { echo "it ended with $code"; false; }
}

run_serve() { # command, which tells systemd when it is ready
  systemd-run -q --unit "$step" -p Type=notify -p WorkingDirectory="$PWD" -E MOONCAKE_MESH_NODE_ID="$step" \
    -E PATH="$PATH" bash -c "exec $1" || { journalctl -q -o cat -u "$step" -n 15 --no-pager; false; }
}

run_dev() { # command
  local line code=0
  exec 4< <(exec bash -c "exec $1" 2>/dev/null)
  local process=$!
  read -rt 60 -u 4 line
  kill -INT "$process"
  wait "$process" || code=$?
  exec 4<&-
  has "$line" "node 127.0.0.1:" && same "$code" 0
}

run_table() {
  local how argument command
  while IFS=$'\t' read -r how argument command <&3; do
    case $how in
      vm) check "$command" run_vm "$argument" "$(in_vm "$command")" ;;
      dev) check "$command" run_dev "$(in_vm "$command")" ;;
      serve)
        number=$((number + 1)) step=documented-$number
        check "$command" run_serve "$(in_vm "$command")"
        ;;
      do) eval "$command" >/tmp/do.log 2>&1 || check "in between: $command" not cat /tmp/do.log ;;
    esac
  done 3<"$1"
}

documented() { # deb
  PACKAGE=$PWD/$1 PAGES=$PWD/pages
  PATH=$PWD:$PATH
  export DEBIAN_FRONTEND=noninteractive
  # The user is root already.
  printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo && chmod 755 /usr/local/bin/sudo
  run_table "$PWD/documented.tsv"
}
