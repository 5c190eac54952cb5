# SPDX-License-Identifier: Apache-2.0
"""Gets of tensors: as they were put, a part, or the whole out of parts."""

from __future__ import annotations

from typing import Any, Callable, List, Optional

from .._registered import address
from .layout import SIZE, Layout, NotATensor
from .memory import at, elements, held, torch, view
from .parallelism import Axis, Cut, Parts, ReadTarget, manifest_key, parts_of, tp_key, writer_key
from .writes import TensorWrites, log


class TensorReads(TensorWrites):
    """What gets of tensors stand on; all return None where there is no such tensor."""

    def _get_tensor(self, key: str) -> Optional[Any]:
        torch()
        handle = self.get_buffer(key)
        if handle is None:
            return None
        memory = memoryview(handle)
        return _made(memory, len(memory))

    def _layout(self, key: str) -> Optional[Layout]:
        """What the header of an object says."""
        handle = self.get_buffer(key)
        try:
            return None if handle is None else Layout.parse(memoryview(handle), len(handle))
        except NotATensor:
            return None

    def _get_tensor_into(self, key: str, buffer_ptr: int, size: int) -> Optional[Any]:
        torch()
        code = self.get_into(key, buffer_ptr, size)
        return None if code < 0 else _made(at(buffer_ptr, code), code)

    def _get_wanted(self, key: str, target: Any) -> Optional[Any]:
        """The tensor that a ReadTarget names."""
        if target is not None and not isinstance(target, ReadTarget):
            raise TypeError(f"target is a ReadTarget, not {type(target).__name__}")
        torch()
        try:
            parts = parts_of(target.parallelism) if target is not None else None
            if target is None or target.mode == "as_stored":
                return self._get_tensor(parts.key(key) if parts is not None else key)
            if target.mode == "full":
                return self._whole_of(key, parts)
            return self._part_of(key, parts)
        except NotATensor as refused:
            log.error("%s: %s", key, refused)
            return None

    def _part_of(self, key: str, parts: Optional[Parts]) -> Optional[Any]:
        if parts is None:
            raise NotATensor("a part needs parallelism")
        direct = self._get_tensor_cut_as(key, parts)
        if direct is not None or parts.cut is None:
            return direct
        full = self._whole_of(key, None)
        if full is None:
            return None
        axis = parts.cut
        extent = Cut(axis.split_dim, axis.size).extent(held(full)[1])
        return full.narrow(axis.split_dim, axis.rank * extent, extent).contiguous()

    def _get_tensor_cut_as(self, key: str, parts: Parts) -> Optional[Any]:
        """The part under its own key, where it was cut so: another cut has the same keys of tensor parallelism."""
        layout = self._layout(parts.key(key))
        if layout is None or layout.axes != parts.axes:
            return None
        return self._get_tensor(parts.key(key))

    def _whole_of(self, key: str, parts: Optional[Parts]) -> Optional[Any]:
        """The whole: stored so, or out of all parts of one kind."""
        if parts is not None and parts.cut is not None and len(parts.axes) > 1:
            return self._joined(parts.cut, lambda rank: parts.ranked(rank).key(key))
        stored = self._get_tensor(key)
        if stored is not None:
            return stored
        first = self._layout(tp_key(key, 0))
        if first is not None and len(first.axes) == 1:
            return self._joined(first.axes[0], lambda rank: tp_key(key, rank))
        first = self._layout_of_manifest(key)
        if first is None:
            return None
        size, dimension = first.axes[0].size, first.axes[0].split_dim
        return self._joined(first.axes[0], lambda rank: writer_key(key, (rank, size, dimension)))

    def _layout_of_manifest(self, key: str) -> Optional[Layout]:
        handle = self.get_buffer(manifest_key(key))
        try:
            return None if handle is None else Layout.header(memoryview(handle))
        except NotATensor:
            return None

    def _joined(self, axis: Axis, key_of: Callable[[int], str]) -> Optional[Any]:
        shards = [self._get_tensor(key_of(rank)) for rank in range(axis.size)]
        return None if any(one is None for one in shards) else torch().cat(shards, axis.split_dim)

    def _get_wanted_into(self, key: str, buffer_ptr: int, size: int, target: Any) -> Optional[Any]:
        """The same, in registered memory."""
        start, length = address(buffer_ptr), address(size)
        if not self._memory.contains(start, length):
            return None
        wanted = self._get_wanted(key, target)
        if wanted is None:
            return None
        owner, layout = held(wanted)
        if SIZE + layout.bytes > length:
            log.error("%s: %d bytes are needed, and the buffer has %d", key, SIZE + layout.bytes, length)
            return None
        memory = at(start, SIZE + layout.bytes)
        memory[:SIZE] = layout.pack()
        memory[SIZE:] = elements(owner, layout)
        return view(memory, layout)

    def _get_into_device(self, key: str, buffer_ptr: int, size: int) -> Optional[Any]:
        """The header and the elements in memory of a CUDA device; the tensor lies there."""
        library = torch()
        handle = self.get_buffer(key)
        if handle is None or len(handle) > size:
            return None
        memory = memoryview(handle)
        layout = Layout.parse(memory, len(memory))
        target = library.as_tensor(_DeviceBytes(address(buffer_ptr), len(memory)), device="cuda")
        target.copy_(library.frombuffer(memory, dtype=library.uint8, count=len(memory), offset=0))
        return target[SIZE:].view(getattr(library, layout.type_name)).reshape(layout.shape)


class _DeviceBytes:
    """Memory of a device, as torch takes it."""

    def __init__(self, start: int, size: int) -> None:
        self.__cuda_array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (start, False), "version": 3}


def _made(memory: Any, size: int) -> Optional[Any]:
    try:
        return view(memory, Layout.parse(memory, size))
    except NotATensor as refused:
        log.error("%s", refused)
        return None


def each(call: Callable[..., Any], keys: List[str], *columns: Any) -> List[Any]:
    """One call a row; None throughout where the columns differ in length."""
    filled = [[None] * len(keys) if one is None else list(one) for one in columns]
    if any(len(column) != len(keys) for column in filled):
        return [None] * len(keys)
    return [call(*row) for row in zip(keys, *filled)]
