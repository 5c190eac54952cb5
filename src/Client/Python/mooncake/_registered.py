# SPDX-License-Identifier: Apache-2.0
"""The memory that a store may move objects from and to."""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import Any, List, Tuple

from ._codes import INVALID_PARAMS


def address(value: Any) -> int:
    """An address or a size as Mooncake's users pass it; TypeError for what does not fit 64 bits."""
    if type(value) is not int:
        if isinstance(value, float) or not hasattr(value, "__index__"):
            raise TypeError(f"an int is needed, not {type(value).__name__}")
        value = value.__index__()
    if not 0 <= value < 1 << 64:
        raise TypeError(f"{value} does not fit 64 bits without a sign")
    return value


def addresses(values: Any) -> List[int]:
    """A list of them."""
    return [address(value) for value in values]


class RegisteredMemory:
    """Ranges, none of which overlaps another. Thread-safe: readers take one snapshot."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # First bytes in order, and of each the end.
        self.ranges: "Tuple[List[int], List[int]]" = ([], [])

    def add(self, start: int, size: int) -> int:
        """0, or why not."""
        end = start + size
        if start == 0 or size == 0 or end > 1 << 64:
            return INVALID_PARAMS
        with self._lock:
            starts, ends = self.ranges
            at = bisect_right(starts, start)
            if (at and ends[at - 1] > start) or (at < len(starts) and end > starts[at]):
                return INVALID_PARAMS
            self.ranges = (starts[:at] + [start] + starts[at:], ends[:at] + [end] + ends[at:])
        return 0

    def remove(self, start: int) -> int:
        """0, or why not."""
        with self._lock:
            starts, ends = self.ranges
            at = bisect_right(starts, start) - 1
            if at < 0 or starts[at] != start:
                return INVALID_PARAMS
            self.ranges = (starts[:at] + starts[at + 1:], ends[:at] + ends[at + 1:])
        return 0

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self.ranges = ([], [])

    def contains(self, start: int, size: int) -> bool:
        """Whether every byte lies in one range."""
        starts, ends = self.ranges
        at = bisect_right(starts, start) - 1
        return at >= 0 and start + size <= ends[at]
