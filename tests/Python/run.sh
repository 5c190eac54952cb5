#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the wheels, installs them alone in a fresh virtual environment, and runs the tests, or bench.py:
# run.sh LIBRARY NODE [bench.py], the C library and the program mooncake-mesh.
set -euo pipefail
[ $# -eq 2 ] || [ "$#${3:-}" = 3bench.py ] || { echo "usage: tests/Python/run.sh LIBRARY NODE [bench.py]" >&2; exit 2; }
library=$(realpath "$1") node=$(realpath "$2")
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 ../../packaging/wheels/build.py "$library" "$folder/wheels"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-index --find-links "$folder/wheels" mooncake-mesh-compat
env -u MOONCAKE_MESH_LIBRARY MOONCAKE_MESH_NODE="$node" PYTHONDONTWRITEBYTECODE=1 \
  "$folder/venv/bin/python" "${3:-run.py}"
