# SPDX-License-Identifier: Apache-2.0
"""What a put asks for, and where objects are."""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple, Union

from ._bindings import NativeGetOptions, NativePutOptions

Stream = Union[None, int, Any]
_DEFAULT_STREAM = 1  # CU_STREAM_LEGACY: NULL means that there is nothing to come after

_PINS = {"none": 0, "soft": 1, "hard": 2}
_PLACEMENTS = {"near": 0, "spread": 1, "preferred": 2}


@dataclass(frozen=True)
class PutOptions:
    """What a put asks for.

    pin: none, soft (evicted last, for 30 minutes) or hard (never evicted); placement: near, spread, or preferred, which
    preferred_node names; groups: in a batch, the group of each position.
    """

    replicas: int = 1
    pin: str = "none"
    placement: str = "near"
    replace: bool = False
    timeout: Optional[float] = None
    preferred_node: str = ""
    group: str = ""
    groups: Optional[Sequence[str]] = None

    def native(self, count: int = 1, stream: Optional[int] = None) -> "Tuple[NativePutOptions, Any]":
        """As the library takes them, and what must outlive the call."""
        if self.groups is not None and len(self.groups) != count:
            raise ValueError(f"{len(self.groups)} groups for {count} values")
        groups = None
        if self.groups is not None:
            groups = (c.c_char_p * count)(*[group.encode() for group in self.groups])
        placement = "preferred" if self.preferred_node and self.placement == "near" else self.placement
        options = NativePutOptions(
            c.sizeof(NativePutOptions), self.replicas, _PINS[self.pin], _PLACEMENTS[placement], int(self.replace),
            0 if self.timeout is None else max(1, int(self.timeout * 1000)),
            self.preferred_node.encode() or None, self.group.encode() or None,
            None if groups is None else c.cast(groups, c.c_void_p), stream)
        return options, groups


def stream_handle(stream: Stream) -> Optional[int]:
    """A stream as the library takes it: of torch or CuPy, or its address, where 0 is the default stream."""
    if stream is None:
        return None
    for name in ("cuda_stream", "ptr"):
        stream = getattr(stream, name, stream)
    if isinstance(stream, bool) or not hasattr(stream, "__index__"):
        raise TypeError(f"a stream of CUDA is needed, not {type(stream).__name__}")
    handle = stream.__index__()
    if not 0 <= handle < 1 << 64:
        raise ValueError(f"a stream is {handle}")
    return handle or _DEFAULT_STREAM


def put_options(options: Optional[PutOptions], count: int, stream: Stream) -> "Tuple[Any, Any]":
    """By reference, or None; and what must outlive the call."""
    handle = stream_handle(stream)
    if options is None and handle is None:
        return None, None
    native, groups = (options or PutOptions()).native(count, handle)
    return c.byref(native), (native, groups)


def get_options(stream: Stream) -> Any:
    """By reference, or None."""
    handle = stream_handle(stream)
    return None if handle is None else c.byref(NativeGetOptions(c.sizeof(NativeGetOptions), handle))


@dataclass(frozen=True)
class Location:
    """Where an object is: its size, or a negative code; how many copies; the nodes that have them."""

    size: int
    copies: int
    nodes: Tuple[str, ...]
