# SPDX-License-Identifier: Apache-2.0
"""Failures, each with the code of mooncake_mesh.h and its text."""

from __future__ import annotations

from typing import Dict, Type

OK = 0
NO_SPACE = -200
INVALID_KEY = -400
INVALID_PARAMS = -600
NOT_FOUND = -704
UNAVAILABLE = -1010
NOT_SUPPORTED = -1012


class MeshError(Exception):
    """A call failed: code is the number, text says why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})" if text else f"code {code}")
        self.code = code
        self.text = text

    def __reduce__(self):
        return type(self), (self.code, self.text)


class NotFound(MeshError, KeyError):
    """No object has this key."""

    __str__ = Exception.__str__


class NoSpace(MeshError):
    """No node has room, or a limit of pins or views is reached: try again later."""


class InvalidArgument(MeshError, ValueError):
    """An argument that cannot be."""


class Unavailable(MeshError, ConnectionError):
    """Nobody who could answer can be reached, or is busy."""


class TimedOut(MeshError, TimeoutError):
    """The deadline passed; whether the call took effect is not known."""


class Closed(MeshError):
    """Closed before, or meanwhile."""


class Forked(MeshError):
    """In a forked child: start processes by spawn."""


_TYPES: Dict[int, Type[MeshError]] = {
    NOT_FOUND: NotFound,
    NO_SPACE: NoSpace,
    INVALID_KEY: InvalidArgument,
    INVALID_PARAMS: InvalidArgument,
    -900: Unavailable,
    UNAVAILABLE: Unavailable,
    -901: TimedOut,
    -2001: Closed,
    -2003: Closed,
    -2002: Forked,
}


def error(code: int, text: str) -> MeshError:
    """The exception for a code."""
    return _TYPES.get(code, MeshError)(code, text)
