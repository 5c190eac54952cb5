# SPDX-License-Identifier: Apache-2.0
"""An object where it lies."""

from __future__ import annotations

import ctypes as c
import weakref

from ._bindings import Functions


class MappedView:
    """An object of a node on this host, read where it lies, without a copy.

    data is read-only and keeps the bytes in place, also after close() and after the object is removed: the node gets
    its memory back when the last memoryview of it has gone.
    """

    def __init__(self, native: Functions, view: int, address: int, size: int) -> None:
        array = (c.c_char * size).from_address(address) if size else (c.c_char * 0)()
        # The array is what every memoryview of it holds, slices too; the view is open as long as it lives.
        weakref.finalize(array, native.view_close, view)
        self._data: "memoryview | None" = memoryview(array).cast("B").toreadonly()

    @property
    def data(self) -> memoryview:
        """The bytes."""
        if self._data is None:
            raise ValueError("the view is closed")
        return self._data

    def __len__(self) -> int:
        return len(self.data)

    def __enter__(self) -> memoryview:
        return self.data

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of it."""
        self._data = None
