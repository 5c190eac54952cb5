#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After installing and upgrading. deb gives "configure" and the version before, if any; rpm how many are installed now.
set -e
unit=mooncake-mesh.service
case $1 in
  configure) before=${2:+yes} ;;
  [0-9]*) before=$([ "$1" -lt 2 ] || echo yes) ;;
  *) exit 0 ;;
esac
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers mooncake-mesh.conf
elif ! getent passwd mooncake-mesh >/dev/null; then
  useradd --system --user-group --no-create-home --home-dir /run/mooncake-mesh --shell /usr/sbin/nologin mooncake-mesh
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
# What runs goes on as the new version; what is stopped stays stopped, and nothing is started that has no etcd yet.
if [ -n "$before" ] && ! systemctl try-restart "$unit"; then
  echo "mooncake-mesh: the new version did not start; see: journalctl -u $unit" >&2
fi
