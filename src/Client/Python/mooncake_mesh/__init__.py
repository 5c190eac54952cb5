# SPDX-License-Identifier: Apache-2.0
"""Mooncake.Mesh from Python: a client of a mesh, or a node in this process."""

from ._bindings import functions as _functions
from .aio import AsyncMesh
from .client import Mesh, open
from .errors import (Closed, Forked, InvalidArgument, MeshError, NoSpace, NotFound, TimedOut, Unavailable)
from .options import Location, PutOptions
from .view import MappedView


def version() -> str:
    """Version of the library."""
    return _functions().version().decode()


__all__ = [
    "AsyncMesh", "Closed", "Forked", "InvalidArgument", "Location", "MappedView", "Mesh", "MeshError", "NoSpace",
    "NotFound", "PutOptions", "TimedOut", "Unavailable", "open", "version",
]
