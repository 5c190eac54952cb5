# SPDX-License-Identifier: Apache-2.0
"""Memory that callers ask for by address."""

from __future__ import annotations

import ctypes as c
import mmap
import threading
from typing import Dict


class MooncakeHostMemAllocator:
    """Memory that is zeroed, aligned to pages and the caller's until free()."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps: "Dict[int, mmap.mmap]" = {}

    def alloc(self, size: int) -> int:
        """Its address; 0 where there is none."""
        try:
            memory = mmap.mmap(-1, size)
        except (OSError, ValueError):
            return 0
        # The address alone is kept: an object that holds the map's buffer would keep it from being closed.
        start = c.addressof(c.c_char.from_buffer(memory))
        with self._lock:
            self._maps[start] = memory
        return start

    def free(self, ptr: int) -> int:
        """0, or -600 for what is not of this allocator."""
        with self._lock:
            memory = self._maps.pop(ptr, None)
        if memory is None:
            return -600
        memory.close()
        return 0


def bind_to_numa_node(node: int) -> None:
    """Binds the memory of this thread to a node, where the system has libnuma; else nothing."""
    try:
        numa = c.CDLL("libnuma.so.1")
    except OSError:
        return
    if numa.numa_available() >= 0:
        numa.numa_run_on_node(c.c_int(node))
        numa.numa_set_preferred(c.c_int(node))


def get_alloc_func_addr() -> int:
    """Address of a function of C that allocates: void *(size_t), aligned to pages."""
    return _address_of("valloc")


def get_free_func_addr() -> int:
    """Address of the function that takes it back: void (void *)."""
    return _address_of("free")


def _address_of(name: str) -> int:
    return c.cast(getattr(c.CDLL(None), name), c.c_void_p).value or 0
