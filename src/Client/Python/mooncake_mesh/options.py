# SPDX-License-Identifier: Apache-2.0
"""What a put asks for, and where objects are."""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

from ._bindings import NativePutOptions

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

    def native(self, count: int = 1) -> "Tuple[NativePutOptions, Any]":
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
            None if groups is None else c.cast(groups, c.c_void_p))
        return options, groups


@dataclass(frozen=True)
class Location:
    """Where an object is: its size, or a negative code; how many copies; the nodes that have them."""

    size: int
    copies: int
    nodes: Tuple[str, ...]
