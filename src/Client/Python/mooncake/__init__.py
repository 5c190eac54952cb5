# SPDX-License-Identifier: Apache-2.0
"""Mooncake's Python interface, on Mooncake.Mesh."""

import os as _os
from importlib import metadata as _metadata

_OURS = "mooncake-mesh-compat"


def _refuse_the_original() -> None:
    """Two packages of this name overwrite each other's files: what is imported then is a mixture of both."""
    name = None
    for path in _os.listdir(_os.path.dirname(__file__) or "."):
        if path.endswith(".so"):
            name = path
    for found in ("", "-cuda13", "-non-cuda", "-npu"):
        try:
            _metadata.distribution("mooncake-transfer-engine" + found)
            name = "mooncake-transfer-engine" + found
        except _metadata.PackageNotFoundError:
            continue
    if name is not None:
        raise ImportError(f"{_OURS} and {name} cannot be installed side by side: "
                          f"uninstall both, then install {_OURS} again")


_refuse_the_original()
