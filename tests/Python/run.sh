#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the wheels, installs them alone in a fresh virtual environment, and runs the tests: run.sh LIBRARY
set -euo pipefail
cd "$(dirname "$0")"
[ $# -eq 1 ] || { echo "usage: tests/Python/run.sh LIBRARY" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 ../../packaging/wheels/build.py "$1" "$folder/wheels"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-index --find-links "$folder/wheels" mooncake-mesh-compat
env -u MOONCAKE_MESH_LIBRARY PYTHONDONTWRITEBYTECODE=1 "$folder/venv/bin/python" run.py
