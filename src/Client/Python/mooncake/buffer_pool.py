# SPDX-License-Identifier: Apache-2.0
"""mooncake.buffer_pool: registered memory that is lent and taken back, by size classes."""

from __future__ import annotations

import ctypes as c
import threading
import time
from typing import Any, Dict, List, Optional

from .memory import MooncakeHostMemAllocator


class BufferLease:
    """Registered memory, until release()."""

    def __init__(self, pool: "BufferPool", ptr: int, size: int, extent: int) -> None:
        self._pool: Optional[BufferPool] = pool
        self._extent = extent
        self.ptr = ptr
        self.size = size

    @property
    def buffer(self) -> memoryview:
        """Its bytes, writable. Not to be used after release()."""
        return memoryview((c.c_char * self.size).from_address(self.ptr)).cast("B")

    def release(self) -> None:
        """Gives it back; a second time nothing happens."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool._take_back(self.ptr, self._extent)

    def __enter__(self) -> "BufferLease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class BufferPool:
    """Lends registered memory of a store. Thread-safe."""

    def __init__(self, store: Any, max_bytes: int = 0, min_size_class: int = 64 << 10,
                 max_size_class: Optional[int] = None, alignment: int = 8 << 20, block_on_exhaustion: bool = True,
                 default_timeout: Optional[float] = None, max_regions: Optional[int] = None,
                 prewarm_size: Optional[int] = None, prewarm_count: int = 0) -> None:
        if alignment <= 0 or alignment & (alignment - 1) or min_size_class <= 0:
            raise ValueError("alignment is a power of 2, and min_size_class more than 0")
        self._store, self._most, self._least, self._largest = store, max_bytes, min_size_class, max_size_class
        self._block, self._timeout, self._most_regions = block_on_exhaustion, default_timeout, max_regions
        self._allocator = MooncakeHostMemAllocator()
        self._changed = threading.Condition()
        self._free: Dict[int, List[int]] = {}
        self._regions: Dict[int, int] = {}
        self._closed = False
        if prewarm_size:
            self.prewarm(prewarm_size, prewarm_count)

    def acquire(self, size: int, block: Optional[bool] = None, timeout: Optional[float] = None) -> BufferLease:
        """Memory of at least this size. Without any left: waits, or MemoryError; TimeoutError once it is too long."""
        if size <= 0:
            raise ValueError(f"size is {size}")
        extent = self._class_of(size)
        limit = timeout if timeout is not None else self._timeout
        until = None if limit is None else time.monotonic() + limit
        with self._changed:
            while True:
                if self._closed:
                    raise RuntimeError("the pool is closed")
                ptr = self._free[extent].pop() if self._free.get(extent) else self._grow(extent)
                if ptr:
                    return BufferLease(self, ptr, size, extent)
                if not (self._block if block is None else block):
                    raise MemoryError(f"the pool has no {extent} bytes left")
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"the pool had no {extent} bytes left for {limit} s")
                self._changed.wait(left)

    buffer = acquire

    def prewarm(self, size: int, count: int = 1) -> None:
        """Registers memory before it is asked for."""
        for lease in [self.acquire(size, block=False) for _ in range(count)]:
            lease.release()

    def close(self) -> None:
        """Takes the memory back, also what is lent."""
        with self._changed:
            self._closed = True
            for ptr in self._regions:
                self._store.unregister_buffer(ptr)
                self._allocator.free(ptr)
            self._regions.clear()
            self._free.clear()
            self._changed.notify_all()

    def __enter__(self) -> "BufferPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _class_of(self, size: int) -> int:
        extent = self._least
        while extent < size:
            extent *= 2
        if self._largest is not None and extent > self._largest:
            raise ValueError(f"size is {size}; the largest class is {self._largest}")
        return extent

    def _grow(self, extent: int) -> int:
        """New memory, or that of an idle class in exchange; 0 where a limit is reached."""
        while self._is_full(extent):
            idle = next((free for size, free in self._free.items() if size != extent and free), None)
            if idle is None:
                return 0
            ptr = idle.pop()
            self._store.unregister_buffer(ptr)
            del self._regions[ptr]
            self._allocator.free(ptr)
        ptr = self._allocator.alloc(extent)
        if ptr and self._store.register_buffer(ptr, extent) != 0:
            self._allocator.free(ptr)
            return 0
        if ptr:
            self._regions[ptr] = extent
        return ptr

    def _is_full(self, extent: int) -> bool:
        if self._most_regions is not None and len(self._regions) >= self._most_regions:
            return True
        return bool(self._most) and sum(self._regions.values()) + extent > self._most

    def _take_back(self, ptr: int, extent: int) -> None:
        with self._changed:
            if ptr in self._regions:
                self._free.setdefault(extent, []).append(ptr)
                self._changed.notify_all()


RegisteredBufferPool = BufferPool
