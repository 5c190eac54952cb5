# SPDX-License-Identifier: Apache-2.0
"""Puts of tensors: which objects a tensor becomes, and how they are put, all in one batch."""

from __future__ import annotations

import copy
import logging
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from mooncake_mesh._memory import hold_all, pointers, sizes_of

from .._codes import INVALID_PARAMS
from .._ranges import RangeCalls
from .._registered import address
from .layout import SIZE, Axis, Layout, NotATensor
from .memory import at, elements, held
from .parallelism import Cut, Parts, manifest_key, parts_of, writer_key, writer_of

log = logging.getLogger("mooncake.store")

# A value of the library has up to 4,096 parts, the header among them.
_MOST_PIECES = 4000


class Source(NamedTuple):
    """A tensor to be put: who owns its elements, what it is, and they."""

    owner: Any
    layout: Layout
    data: memoryview


class Write(NamedTuple):
    """One object: its key and its parts; the owner outlives them."""

    key: str
    parts: Sequence[Any]
    owner: Any = None


Job = Callable[[], List[Write]]


def of_tensor(tensor: Any) -> Source:
    """A tensor of the caller."""
    owner, layout = held(tensor)
    return Source(owner, layout, elements(owner, layout))


def whole(key: str, source: Source, axes: Sequence[Axis] = ()) -> List[Write]:
    """The tensor as one object."""
    layout = Layout(source.layout.dtype, source.layout.whole, source.layout.shape, tuple(axes))
    return [Write(key, [layout.pack(), source.data], source.owner)]


def piece(key: str, source: Source, cut: Cut, rank: int, axes: Sequence[Axis]) -> Write:
    """One of equal parts as an object; nothing is copied unless the part lies in very many ranges."""
    extent = cut.extent(source.layout)
    part = source.layout.part(axes, cut.dimension, extent)
    ranges = source.layout.ranges(cut.dimension, rank * extent, extent)
    pieces = [source.data[begin:end] for begin, end in ranges]
    return Write(key, [part.pack(), *(pieces if len(pieces) <= _MOST_PIECES else [b"".join(pieces)])], source.owner)


def cut_for_tp(key: str, source: Source, size: int, dimension: int) -> List[Write]:
    """All parts of tensor parallelism."""
    parts = Parts((Axis(1, 0, size, dimension),))
    return cut_for(key, source, parts)


def cut_for(key: str, source: Source, parts: Parts) -> List[Write]:
    """All parts along the axis that cuts; the tensor whole, where none does."""
    axis = parts.cut
    if axis is None:
        return whole(parts.key(key), source, parts.axes)
    cut = Cut(axis.split_dim, axis.size)
    ranked = [parts.ranked(rank) for rank in range(axis.size)]
    return [piece(one.key(key), source, cut, rank, one.axes) for rank, one in enumerate(ranked)]


def of_writer(key: str, source: Source, writer: Tuple[int, int, int]) -> List[Write]:
    """The part of one of several writers, and what says how all of them lie."""
    rank, size, dimension = writer
    cut = Cut(dimension, size)
    mine = piece(writer_key(key, writer), source, cut, rank, [Axis(1, rank, size, dimension)])
    first = source.layout.part([Axis(1, 0, size, dimension)], dimension, cut.extent(source.layout))
    return [mine, Write(manifest_key(key), [first.pack()])]


def requested(key: str, source: Source, parallelism: Any, writer: Any) -> List[Write]:
    """What a put with parallelism asks for: one of the two, or neither."""
    parts, partition = parts_of(parallelism), writer_of(writer)
    if parts is not None and partition is not None:
        raise NotATensor("parallelism and writer_partition exclude each other")
    if partition is not None:
        return of_writer(key, source, partition)
    return cut_for(key, source, parts) if parts is not None else whole(key, source)


class TensorWrites(RangeCalls):
    """What puts of tensors stand on."""

    def _of_memory(self, buffer_ptr: int, size: int) -> Source:
        """A tensor that lies in registered memory, header first."""
        start, length = address(buffer_ptr), address(size)
        if not self._memory.contains(start, length):
            raise NotATensor("the memory is not registered")
        memory = at(start, length)
        layout = Layout.parse(memory, length)
        return Source(None, layout, memory[SIZE:SIZE + layout.bytes])

    def _whole(self, key: str, tensor: Any) -> Job:
        return lambda: whole(key, of_tensor(tensor))

    def _whole_from(self, key: str, buffer_ptr: int, size: int) -> Job:
        return lambda: whole(key, self._of_memory(buffer_ptr, size))

    def _tp(self, key: str, tensor: Any, size: int, dimension: int) -> Job:
        return self._whole(key, tensor) if size <= 1 else lambda: cut_for_tp(key, of_tensor(tensor), size, dimension)

    def _tp_from(self, key: str, buffer_ptr: int, extent: int, size: int, dimension: int) -> Job:
        if size <= 1:
            return self._whole_from(key, buffer_ptr, extent)
        return lambda: cut_for_tp(key, self._of_memory(buffer_ptr, extent), size, dimension)

    def _requested(self, key: str, tensor: Any, parallelism: Any, writer: Any) -> Job:
        return lambda: requested(key, of_tensor(tensor), parallelism, writer)

    def _requested_from(self, key: str, buffer_ptr: int, size: int, parallelism: Any, writer: Any) -> Job:
        return lambda: requested(key, self._of_memory(buffer_ptr, size), parallelism, writer)

    def _put_tensor(self, job: Job, config: Any = None, replace: bool = False) -> int:
        return self._put_tensors([job], config, replace)[0]

    def _put_tensors(self, jobs: Sequence[Job], config: Any = None, replace: bool = False) -> List[int]:
        """0 or a code for each job: the first code of its objects."""
        results, writes, owners = [0] * len(jobs), [], []
        for position, job in enumerate(jobs):
            try:
                made = job()
            except NotATensor as refused:
                log.error("%s", refused)
                results[position] = INVALID_PARAMS
                continue
            writes += made
            owners += [position] * len(made)
        config = _spread(config, len(jobs), owners)
        code, options, _kept = self._put_options(config, len(writes), replace)
        if code:
            return [one or code for one in results]
        for position, result in zip(owners, self._put_writes(writes, options)):
            results[position] = results[position] or result
        return results

    def _put_writes(self, writes: Sequence[Write], options: Any) -> List[int]:
        parts = [[one for one in hold_all(write.parts, False) if one.size] for write in writes]
        flat = [one for some in parts for one in some]
        return self._batch(
            self._native.put_parts_batch, [write.key for write in writes], pointers([one.address for one in flat]),
            sizes_of([one.size for one in flat]), sizes_of([len(some) for some in parts]), options=options)

    def _many(self, make: Callable[..., Job], *columns: Optional[Iterable[Any]], config: Any = None,
              replace: bool = False, **rest: Any) -> List[int]:
        """One job a row; columns of different lengths refuse the whole call, and None is a column of None."""
        first = list(columns[0] or ())
        filled = [first] + [[None] * len(first) if one is None else list(one) for one in columns[1:]]
        if any(len(column) != len(first) for column in filled):
            return [INVALID_PARAMS] * len(first)
        return self._put_tensors([make(*row, **rest) for row in zip(*filled)], config, replace)


def _spread(config: Any, count: int, owners: Sequence[int]) -> Any:
    """The configuration for the objects, where groups are given for the tensors."""
    groups = getattr(config, "group_ids", None)
    if groups is None or len(groups) != count:
        return config
    spread = copy.copy(config)
    spread.group_ids = [groups[position] for position in owners]
    return spread
