#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the disk of "vm.sh --systemd", unless it is there: a small Debian of this machine's release. Prints its
# path.
set -Eeuo pipefail
trap 'echo "disk.sh: line $LINENO failed" >&2' ERR
here=$(dirname "$(realpath "$0")")
. "$here/../../packaging/dev/setup.sh"
need_vm_disk

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mooncake-mesh-softroce
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# rpm, for the scripts of such packages; a provider of verbs, for the devices there are.
packages=systemd,systemd-sysv,dbus,iproute2,libssl3,ca-certificates,ibverbs-providers,rpm,bash-completion
recipe=$({ cat "$here/disk.sh"; echo "$release"; } | sha256sum)
disk=$cache/disk-${recipe:0:16}
mkdir -p "$cache"
exec 9>"$cache/disk.lock"
flock 9
if [ -e "$disk" ]; then
  echo "$disk"
  exit
fi
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d "$cache/disk.XXXXXX")
trap 'as_root rm -rf "$work"' EXIT
root=$work/root

# shellcheck disable=SC2016 # for apt
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" | head -1; }
source=$(mirror)
[ -n "$source" ] || { as_root apt-get -q update >&2; source=$(mirror); }
[ -n "$source" ] || stop "apt has no source of $release, of which the disk would be made"
echo "== making a disk with $release; this takes minutes" >&2
as_root debootstrap --variant=minbase --include="$packages" "$release" "$root" "$source" >"$work/log" 2>&1 \
  || { tail -20 "$work/log" >&2; stop "debootstrap failed"; }

write() { as_root tee "$root/$1" >/dev/null; }
echo softroce | write etc/hostname
echo 127.0.0.1 localhost softroce | write etc/hosts
write etc/fstab </dev/null
# What waits for a terminal, or would begin to work beside the command.
for unit in getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
  systemd-timesyncd.service; do
  as_root ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
write etc/systemd/system/vm-command.service <<'UNIT'
[Unit]
Description=The command of vm.sh
After=multi-user.target
[Service]
ExecStart=/usr/bin/vm-command
LimitMEMLOCK=infinity
[Install]
WantedBy=multi-user.target
UNIT
as_root mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
as_root ln -s ../vm-command.service "$root/etc/systemd/system/multi-user.target.wants/"
as_root rm -rf "$root"/var/cache/apt/archives "$root"/var/lib/apt/lists
as_root mke2fs -q -t ext4 -d "$root" "$work/disk" 2G >&2
as_root chown "$(id -u):$(id -g)" "$work/disk"
find "$cache" -mindepth 1 -maxdepth 1 -type f -name 'disk-*' -mtime +7 -delete
mv "$work/disk" "$disk"
echo "$disk"
