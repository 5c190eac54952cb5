#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Process 1 of the virtual machine; under the name "nic", the command there that breaks and mends a device; under the
# name "vm-command", where systemd is process 1, the service that runs the command.
export PATH=/usr/sbin:/usr/bin

add_device() { rdma link add "rxe$1" type rxe netdev "eth$1"; }

nic() { # index, action, percent
  if [ ! -e "/sys/class/net/eth${1:-}" ]; then
    echo "nic: there is no eth${1:-}" >&2
    return 2
  fi
  case ${2:-} in
    down | up) ip link set "eth$1" "$2" ;;
    unplug) ip link set "far$1" down ;;
    plug) ip link set "far$1" up ;;
    loss) tc qdisc replace dev "far$1" root netem limit 10000 loss "${3:?percent}%" ;;
    delete) rdma link delete "rxe$1" ;;
    add) add_device "$1" ;;
    *) echo "usage: nic INDEX down|up|unplug|plug|loss PERCENT|delete|add" >&2; return 2 ;;
  esac
}

off() { # nothing on the disk outlives the machine
  sync
  if [ $$ = 1 ]; then poweroff -f; else systemctl poweroff --force --force; fi
}

if [ "${0##*/}" = nic ]; then
  nic "$@"
  exit
fi

fault() {
  echo "$*" >/control/fault
  echo "fault: $*" >/dev/kmsg
  poweroff -f
}

share() { # tag, path, options
  mkdir -p "$root$2"
  mount -t 9p -o "trans=virtio,version=9p2000.L,msize=524288,$3" "$1" "$root$2" || fault "cannot mount $1 on $2"
}

basics() {
  mount -t proc proc /proc
  mount -t sysfs sys /sys
  mount -t devtmpfs dev /dev
  mkdir -p /dev/shm
  mount -t tmpfs -o mode=1777 shm /dev/shm
  mount -t tmpfs -o mode=1777 tmp /tmp
  ln -s /proc/self/fd /dev/fd
  ln -s fd/0 /dev/stdin
  ln -s fd/1 /dev/stdout
  ln -s fd/2 /dev/stderr
  hostname softroce
  local module
  while read -r module; do
    insmod "$module" || fault "cannot load $module"
  done </modules/order
}

folders() {
  local i
  for i in "${!shares[@]}"; do
    case ${shares[i]} in
      ro:*) share "share$i" "${shares[i]#ro:}" ro,cache=loose ;;
      rw:*) share "share$i" "${shares[i]#rw:}" cache=mmap ;;
    esac
  done
}

# Each device is on one end of a cable whose other end is in a bridge, so that it reaches every other by the wire.
network() {
  # All addresses are of one host: without these, the kernel takes what comes by the wire for forged, answers for one
  # card on another, and keeps the new IPv6 addresses back for a second.
  sysctl -q -w net.ipv4.conf.{all,default}.{accept_local=1,rp_filter=0,arp_ignore=1,arp_announce=2} \
    net.ipv6.conf.{all,default}.accept_dad=0
  ip link set lo up
  ip link add wire mtu 9000 type bridge stp_state 0 forward_delay 0
  ip link set wire up
  local i
  for ((i = 0; i < nics; i++)); do
    ip link add "eth$i" mtu 9000 address "$(printf 02:00:00:00:01:%02x "$i")" type veth peer name "far$i" mtu 9000
    ip link set "far$i" master wire up
    ip addr add "10.99.0.1$i/24" dev "eth$i"
    ip link set "eth$i" up
    add_device "$i" || fault "cannot create rxe$i"
  done
  local tries=100
  while grep -L ACTIVE /sys/class/infiniband/*/ports/1/state | grep -q .; do
    ((tries-- > 0)) || fault "a device has no active port"
    sleep 0.05
  done
}

run() {
  local streams ours process
  mkfifo /run/output /run/error
  cat /run/output >/dev/vport0p1 &
  streams=$!
  cat /run/error >/dev/vport0p2 &
  streams+=" $!"
  ulimit -l unlimited
  ulimit -n 65536
  touch /control/ready
  (
    export HOME=/root LANG=C.UTF-8 DOTNET_ROOT="$dotnet" PATH="$PATH:$dotnet" \
      DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_TieredPGO=0
    cd "$folder" && exec env "${environment[@]}" setsid "${command[@]}"
  ) </dev/null >/run/output 2>/run/error
  echo $? >/control/status
  # What the command has left running would hold its output open.
  ours=" 1 $streams "
  for process in /proc/[0-9]*; do
    [ $$ = 1 ] || break # systemd has given it a group of its own
    [[ $ours == *" ${process#/proc/} "* ]] || kill -9 "${process#/proc/}" 2>/dev/null
  done
  # shellcheck disable=SC2086 # two numbers
  wait $streams
}

disk() {
  local module
  while read -r module; do
    insmod "$module" || fault "cannot load $module"
  done </modules/disk
  mkdir /disk
  mount -t ext4 /dev/vda /disk || fault "cannot mount the disk"
  root=/disk
}

# Goes on with the disk's systemd, which starts this script again when it has started everything else.
hand_over() {
  local folder
  cp /init /disk/usr/bin/vm-command
  ln -sf vm-command /disk/usr/bin/nic
  mkdir -p /disk/control
  umount /dev/shm
  umount /tmp
  for folder in control proc sys dev; do mount -o move "/$folder" "/disk/$folder"; done
  exec switch_root /disk /sbin/init
}

root=''
if [ "${0##*/}" = vm-command ]; then
  . /control/orders
  run
  off
  exit
fi
basics
share control /control cache=none
. /control/orders # nics, shares, environment, command, folder, dotnet, systemd
[ "$systemd" = no ] || disk
folders
network
[ "$systemd" = no ] || hand_over
run
off
