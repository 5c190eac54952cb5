#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Before removing. An upgrade (deb: "upgrade", rpm: 1) stops nothing: the new version restarts what runs.
set -e
case $1 in
  remove | 0) ;;
  *) exit 0 ;;
esac
[ ! -d /run/systemd/system ] || systemctl disable --now --quiet mooncake-mesh.service
