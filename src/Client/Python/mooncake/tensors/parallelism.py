# SPDX-License-Identifier: Apache-2.0
"""How a tensor is cut for several processes, and the keys that its parts have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

from .layout import Axis, Layout, NotATensor

_KINDS = {"dp": 0, "tp": 1, "ep": 2, "pp": 3}
_MODES = ("as_stored", "shard", "full")


class ParallelAxis:
    """One axis: kind is dp, tp, ep or pp."""

    def __init__(self) -> None:
        self.kind = ""
        self.rank = 0
        self.size = 1
        self.split_dim: Optional[int] = None
        self.expert_id: Optional[int] = None
        self.stage_id: Optional[int] = None


class TensorParallelism:
    """Several axes."""

    def __init__(self) -> None:
        self.axes: List[ParallelAxis] = []


class ReadTarget:
    """What a get wants: what is stored, one part, or the whole."""

    def __init__(self) -> None:
        self._mode = "as_stored"
        self.parallelism: Optional[TensorParallelism] = None

    @property
    def mode(self) -> str:
        """as_stored, shard or full."""
        return self._mode

    @mode.setter
    def mode(self, value: str) -> None:
        if value not in _MODES:
            raise RuntimeError(f"mode is {value!r}; as_stored, shard and full are legal")
        self._mode = value


@dataclass(frozen=True)
class Cut:
    """Equal parts along one dimension."""

    dimension: int
    size: int

    def extent(self, layout: Layout) -> int:
        """How many of the dimension each part has."""
        if not 0 <= self.dimension < len(layout.shape):
            raise NotATensor(f"the tensor has no dimension {self.dimension}")
        whole = layout.shape[self.dimension]
        if self.size < 1 or whole % self.size:
            raise NotATensor(f"{whole} of dimension {self.dimension} cannot be cut in {self.size} equal parts")
        return whole // self.size


@dataclass(frozen=True)
class Parts:
    """The axes of a request, in order; at most one of them cuts the tensor."""

    axes: Tuple[Axis, ...]

    @property
    def cut(self) -> Optional[Axis]:
        """The axis that cuts."""
        return next((axis for axis in self.axes if axis.kind == _KINDS["tp"]), None)

    def ranked(self, rank: int) -> "Parts":
        """The same request for another part."""
        return Parts(tuple(Axis(axis.kind, rank, axis.size, axis.split_dim, axis.note) if axis is self.cut else axis
                           for axis in self.axes))

    def key(self, key: str) -> str:
        """The part's key: key_tp_RANK for the tp axis alone, as Mooncake's callers know it."""
        if len(self.axes) == 1 and self.cut is not None:
            return tp_key(key, self.axes[0].rank)
        names = {number: name for name, number in _KINDS.items()}
        return key + "".join(f"__{names[axis.kind]}_{axis.rank}of{axis.size}" + (
            f"_sd{axis.split_dim}" if axis.split_dim >= 0 else "") + (f"_id{axis.note}" if axis.note else "")
            for axis in self.axes)


def tp_key(key: str, rank: int) -> str:
    """The key of one part of tensor parallelism."""
    return f"{key}_tp_{rank}"


def writer_key(key: str, writer: Tuple[int, int, int]) -> str:
    """The key of what one writer of several has put."""
    rank, size, dimension = writer
    return f"{key}__writer_{rank}of{size}_sd{dimension}"


def manifest_key(key: str) -> str:
    """The key that says how the parts of several writers lie."""
    return f"{key}__writer_manifest"


def parts_of(given: Any) -> Optional[Parts]:
    """The axes of a TensorParallelism, checked; None where there are none."""
    axes = list(getattr(given, "axes", None) or ())
    if given is None or not axes:
        return None
    known = [_axis(axis) for axis in axes]
    if len({axis.kind for axis in known}) != len(known):
        raise NotATensor("an axis is there twice")
    # In one order, however the caller wrote them: a part has one key.
    return Parts(tuple(sorted(known, key=lambda axis: axis.kind)))


def writer_of(given: Any) -> Optional[Tuple[int, int, int]]:
    """Rank, size and dimension: a tuple, a dict or an object with these names."""
    if given is None:
        return None
    names = ("rank", "size", "split_dim")
    if isinstance(given, dict):
        values: Sequence[Any] = [given.get(name, 0) for name in names]
    elif isinstance(given, (tuple, list)):
        values = given
    else:
        values = [getattr(given, name, None) for name in names]
    if len(values) != len(names) or not all(isinstance(value, int) for value in values):
        raise NotATensor("writer_partition is (rank, size, split_dim)")
    rank, size, dimension = values
    if not 0 <= rank < size or dimension < 0:
        raise NotATensor(f"there is no part {rank} of {size} along {dimension}")
    return rank, size, dimension


def _axis(axis: Any) -> Axis:
    kind = _KINDS.get(str(axis.kind).lower())
    if kind is None:
        raise NotATensor(f"an axis is {axis.kind!r}; dp, tp, ep and pp are legal")
    if axis.size < 1 or not 0 <= axis.rank < axis.size:
        raise NotATensor(f"there is no rank {axis.rank} of {axis.size}")
    dimension = -1 if axis.split_dim is None else axis.split_dim
    if kind == _KINDS["tp"] and dimension < 0:
        raise NotATensor("a tp axis needs split_dim")
    note = axis.expert_id if kind == _KINDS["ep"] else axis.stage_id if kind == _KINDS["pp"] else None
    return Axis(kind, axis.rank, axis.size, dimension if kind == _KINDS["tp"] else -1, note or 0)
