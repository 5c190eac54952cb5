# SPDX-License-Identifier: Apache-2.0
"""The memory that a store of setup_dummy hands out."""

from __future__ import annotations

import threading

from .memory import MooncakeHostMemAllocator

_ALIGNMENT = 64


class PoolMemory:
    """One stretch of memory, given away from its beginning on; what was given is the caller's until all of it goes."""

    def __init__(self, size: int) -> None:
        self._allocator = MooncakeHostMemAllocator()
        self._lock = threading.Lock()
        self._used = 0
        self.start = self._allocator.alloc(size) if size else 0
        self.size = size if self.start else 0

    def take(self, size: int) -> int:
        """Address of so many bytes; 0 where there are not as many left."""
        with self._lock:
            extent = -(-size // _ALIGNMENT) * _ALIGNMENT
            if size == 0 or extent > self.size - self._used:
                return 0
            self._used += extent
            return self.start + self._used - extent

    def contains(self, start: int, size: int) -> bool:
        """Whether every byte is of this memory."""
        return self.size > 0 and self.start <= start and start + size <= self.start + self.size

    def free(self) -> None:
        """Takes all of it back."""
        if self.size:
            self.size = 0
            self._allocator.free(self.start)
