#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in a virtual machine with software RDMA devices. README.md says what it finds there.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: vm.sh [options] [--] COMMAND [ARGUMENT...]
  --nics N          RDMA devices rxe0, rxe1, ... (2)
  --mem MB          memory (2048)
  --smp N           processors (2)
  --timeout S       seconds until it is given up, boot included (300)
  --ro PATH         share PATH, to be read only; may be repeated
  --env NAME=VALUE  set a variable of COMMAND; may be repeated
  --systemd         boot a Debian of its own with systemd, on a disk that is as new each time
  --log FILE        keep the kernel's messages
The current folder is shared for reading and writing, at the path it has here.
Exit status: that of COMMAND; 124 timed out; 125 the machine did not boot, or the command line is wrong.
TEXT
  exit 125
}

nics=2 memory=2048 processors=2 limit=300 log='' systemd=no shares=() environment=()
while [ $# -gt 0 ]; do
  option=$1
  case $option in
    --) shift; break ;;
    --systemd) systemd=yes; shift; continue ;;
    -*) [ $# -ge 2 ] || usage; value=$2; shift 2 ;;
    *) break ;;
  esac
  case $option in
    --nics) nics=$value ;;
    --mem) memory=$value ;;
    --smp) processors=$value ;;
    --timeout) limit=$value ;;
    --ro) shares+=("ro:$(realpath "$value")") ;;
    --env) environment+=("$value") ;;
    --log) log=$value ;;
    *) usage ;;
  esac
done
[ $# -gt 0 ] || usage
for number in "$nics" "$memory" "$processors" "$limit"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || usage
done

command=("$@")
folder=$(pwd -P)
[ "$folder" != / ] || { echo "vm.sh: the root folder cannot be shared; change to another" >&2; exit 125; }
shares+=("rw:$folder")
dotnet=''
if program=$(command -v dotnet); then
  dotnet=$(dirname "$(realpath "$program")")
  shares+=("ro:$dotnet")
fi
here=$(dirname "$(realpath "$0")")
image=$("$here/image.sh") || exit 125
[ "$systemd" = no ] || disk=$("$here/disk.sh") || exit 125

control=$(mktemp -d)
trap 'rm -rf "$control"' EXIT
# What the guest is to do, as variables that it sources.
declare -p nics shares environment command folder dotnet systemd >"$control/orders"

share() { # tag, mode, path: a comma inside an option of qemu is written twice
  local end=''
  [ "$2" = rw ] || end=,readonly=on
  machine+=(-virtfs "local,mount_tag=$1,path=${3//,/,,},security_model=none,multidevs=remap$end")
}

machine=(qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none
  -accel tcg,thread=multi,tb-size=256 -cpu max -smp "$processors" -m "$memory"
  -kernel "$image/kernel" -initrd "$image/initrd"
  -append "console=ttyS0 quiet panic=-1 mitigations=off nowatchdog random.trust_cpu=on cryptomgr.notests"
  -serial "file:$control/kernel.log" -device virtio-serial)
for stream in 7 8; do # become the guest's standard output and error
  machine+=(-chardev "file,id=stream$stream,path=/dev/fd/$stream,append=on" -device "virtserialport,chardev=stream$stream")
done
[ "$systemd" = no ] || machine+=(-drive "file=${disk//,/,,},format=raw,if=virtio,snapshot=on")
share control rw "$control"
for i in "${!shares[@]}"; do share "share$i" "${shares[i]%%:*}" "${shares[i]#*:}"; done

# qemu opens what it is given by name, which would begin a file of ours anew, and cannot open a socket.
exec 7> >(exec cat) ; copies=($!)
exec 8> >(exec cat >&2) ; copies+=($!)
timeout --kill-after=5 "$limit" "${machine[@]}" </dev/null >"$control/qemu.log" 2>&1 &
vm=$!
trap 'stopped=1; kill "$vm" 2>/dev/null' INT TERM HUP
rc=0 stopped=0
while kill -0 "$vm" 2>/dev/null; do # a signal ends a wait before its time
  rc=0
  wait "$vm" || rc=$?
done
exec 7>&- 8>&-
wait "${copies[@]}" || true
[ -z "$log" ] || cp "$control/kernel.log" "$log"

if [ -s "$control/status" ]; then exit "$(cat "$control/status")"; fi
[ "$stopped" = 0 ] || exit 143
if [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
  echo "vm.sh: timed out after $limit s, $([ -e "$control/ready" ] && echo "in the command" || echo "booting")" >&2
  if [ -e "$control/ready" ]; then exit 124; fi
elif [ -s "$control/fault" ]; then
  echo "vm.sh: the machine did not boot: $(cat "$control/fault")" >&2
elif [ -e "$control/ready" ]; then
  echo "vm.sh: the machine stopped while the command ran (qemu: $rc)" >&2
else
  echo "vm.sh: the machine did not boot (qemu: $rc)" >&2
fi
tail -n 20 "$control/qemu.log" "$control/kernel.log" >&2 || true
exit 125
