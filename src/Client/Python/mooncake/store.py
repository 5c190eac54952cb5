# SPDX-License-Identifier: Apache-2.0
"""mooncake.store: the store as Mooncake's users call it, on a mesh."""

from __future__ import annotations

from ._segments import SegmentCalls
from .buffers import BufferHandle
from .config import ObjectDataType, ReplicateConfig, SoftPinAction
from .memory import MooncakeHostMemAllocator, bind_to_numa_node
from .replicas import ReplicaDescriptor, ReplicaStatus, TaskStatus, TaskType


class MooncakeDistributedStore(SegmentCalls):
    """A store. Any number of threads may use one; a process may have several."""


def _export(*kinds: type) -> None:
    for kind in kinds:
        globals().update(kind.__members__)  # type: ignore[attr-defined]


# As Mooncake exports the values of its enums; of a name that two of them have the later counts.
_export(TaskStatus, TaskType, ReplicaStatus, SoftPinAction, ObjectDataType)

__all__ = [
    "BufferHandle", "MooncakeDistributedStore", "MooncakeHostMemAllocator", "ObjectDataType", "ReplicaDescriptor",
    "ReplicaStatus", "ReplicateConfig", "SoftPinAction", "TaskStatus", "TaskType", "bind_to_numa_node",
]
