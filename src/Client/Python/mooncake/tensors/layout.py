# SPDX-License-Identifier: Apache-2.0
"""The 304 bytes before a tensor's elements, as Mooncake writes them."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Sequence, Tuple

SIZE = 304

_MAGIC, _VERSION = 0x4D4F4F4E, 1
_MOST_DIMENSIONS, _MOST_AXES = 8, 4
_FULL, _SHARD = 0, 1
# magic, version, header's size, type, dimensions, kind, -, where the elements begin, their bytes; the shape of the
# whole and of this part; how many axes, -; and for each: kind, place, rank, size, dimension, note, extent.
_FORMAT = struct.Struct("<IHHiiIIQQ8q8qII" + "iiiiiiq" * _MOST_AXES)

# Numbers in the header, with the bytes of an element.
_TYPES = (
    ("float32", 4), ("float64", 8), ("int8", 1), ("uint8", 1), ("int16", 2), ("uint16", 2), ("int32", 4),
    ("uint32", 4), ("int64", 8), ("uint64", 8), ("bool", 1), ("float16", 2), ("bfloat16", 2), ("float8_e4m3fn", 1),
    ("float8_e5m2", 1))
_NUMBERS = {name: number for number, (name, _) in enumerate(_TYPES)}


class NotATensor(ValueError):
    """Something that is no tensor, or whose header is not one."""


@dataclass(frozen=True)
class Axis:
    """How one axis of parallelism cuts a tensor."""

    kind: int
    rank: int
    size: int
    split_dim: int = -1
    note: int = 0


@dataclass(frozen=True)
class Layout:
    """Type and shape of a tensor, and of what whole it is a part."""

    dtype: int
    whole: Tuple[int, ...]
    shape: Tuple[int, ...]
    axes: Tuple[Axis, ...] = ()

    @property
    def element(self) -> int:
        """Bytes of an element."""
        return _TYPES[self.dtype][1]

    @property
    def type_name(self) -> str:
        """The type's name in torch."""
        return _TYPES[self.dtype][0]

    @property
    def bytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * self.element

    def part(self, axes: Sequence[Axis], dimension: int, extent: int) -> "Layout":
        """A part of this whole: so many of one dimension."""
        shape = self.shape[:dimension] + (extent,) + self.shape[dimension + 1:]
        return Layout(self.dtype, self.shape, shape, tuple(axes))

    def ranges(self, dimension: int, start: int, extent: int) -> "list[Tuple[int, int]]":
        """Where that part lies among the elements: begin and end of each range, in bytes."""
        inner = math.prod(self.shape[dimension + 1:]) * self.element
        row = self.shape[dimension] * inner
        outer = math.prod(self.shape[:dimension])
        return [(at * row + start * inner, at * row + (start + extent) * inner) for at in range(outer)]

    def pack(self) -> bytes:
        """The header."""
        if len(self.axes) > _MOST_AXES:
            raise NotATensor(f"a tensor has up to {_MOST_AXES} axes of parallelism, not {len(self.axes)}")
        fields = []
        for place, axis in enumerate(self.axes):
            extent = self.shape[axis.split_dim] if axis.split_dim >= 0 else -1
            fields += [axis.kind, place, axis.rank, axis.size, axis.split_dim, axis.note, extent]
        fields += [0] * (7 * (_MOST_AXES - len(self.axes)))
        return _FORMAT.pack(
            _MAGIC, _VERSION, SIZE, self.dtype, len(self.shape), _SHARD if self.axes else _FULL, 0, SIZE, self.bytes,
            *_filled(self.whole), *_filled(self.shape), len(self.axes), 0, *fields)

    @staticmethod
    def parse(data: Any, size: int) -> "Layout":
        """Reads the header of an object of so many bytes."""
        layout = Layout.header(data)
        if SIZE + layout.bytes > size:
            raise NotATensor("the header's shape does not fit the object's size")
        return layout

    @staticmethod
    def header(data: Any) -> "Layout":
        """Reads a header; every field is checked."""
        if len(data) < SIZE:
            raise NotATensor("the object is shorter than a tensor's header")
        (magic, version, header, dtype, dimensions, kind, _, offset, count, *rest) = _FORMAT.unpack_from(data)
        if (magic, version, header, offset) != (_MAGIC, _VERSION, SIZE, SIZE):
            raise NotATensor("the object does not begin with a tensor's header")
        if not 0 <= dtype < len(_TYPES) or not 0 <= dimensions <= _MOST_DIMENSIONS or kind > _SHARD:
            raise NotATensor("the header names a type, a shape or a kind that does not exist")
        whole, shape, axes = rest[:8], rest[8:16], rest[16]
        if axes > _MOST_AXES or min(whole[:dimensions] + shape[:dimensions], default=0) < 0:
            raise NotATensor("the header has a shape or axes that cannot be")
        cuts = [rest[18 + 7 * i:25 + 7 * i] for i in range(axes)]
        if any(size < 1 or not 0 <= rank < size or not -1 <= cut < dimensions for _, _, rank, size, cut, _, _ in cuts):
            raise NotATensor("the header has an axis that cannot be")
        layout = Layout(dtype, tuple(whole[:dimensions]), tuple(shape[:dimensions]),
                        tuple(Axis(one[0], one[2], one[3], one[4], one[5]) for one in cuts))
        if count != layout.bytes:
            raise NotATensor("the header's shape does not fit its size")
        return layout


def number_of(type_name: str) -> int:
    """The number of a type of torch, "torch.float32" or "float32"."""
    number = _NUMBERS.get(type_name.rsplit(".", 1)[-1])
    if number is None:
        raise NotATensor(f"tensors of {type_name} are not stored")
    return number


def shape_of(shape: Sequence[int]) -> Tuple[int, ...]:
    """A shape that the header has room for."""
    if len(shape) > _MOST_DIMENSIONS:
        raise NotATensor(f"a tensor has up to {_MOST_DIMENSIONS} dimensions, not {len(shape)}")
    return tuple(int(extent) for extent in shape)


def _filled(shape: Sequence[int]) -> "list[int]":
    return [*shape, *[-1] * (_MOST_DIMENSIONS - len(shape))]
