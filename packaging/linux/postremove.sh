#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After removing (deb: "remove", rpm: 0) and after purging.
set -e
case $1 in
  remove | 0 | purge) ;;
  *) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl reset-failed mooncake-mesh.service 2>/dev/null || true
fi
[ "$1" = purge ] || exit 0
rm -rf /run/mooncake-mesh
if getent passwd mooncake-mesh >/dev/null; then userdel mooncake-mesh; fi
# It stays with its user where somebody has been added to it.
if getent group mooncake-mesh >/dev/null; then groupdel mooncake-mesh; fi
