# SPDX-License-Identifier: Apache-2.0
"""mooncake.store: the store as Mooncake's users call it, on a mesh."""

from __future__ import annotations

from ._segments import SegmentCalls
from .buffer_pool import BufferLease, BufferPool, RegisteredBufferPool
from .buffers import BufferHandle
from .config import ObjectDataType, ReplicateConfig, SoftPinAction
from .memory import MooncakeHostMemAllocator, bind_to_numa_node, get_alloc_func_addr, get_free_func_addr
from .replicas import (BufferDescriptor, DiskDescriptor, MemoryDescriptor, QueryTaskResponse, ReplicaDescriptor,
                       ReplicaStatus, TaskStatus, TaskType)
from .tensors import SIZE as _TENSOR_METADATA_SIZE
from .tensors import ParallelAxis, ReadTarget, TensorParallelism
from .tensors import deserialize as _deserialize_tensor
from .tensors import serialize as _serialize_tensor
from .unsupported import EngramStore, EngramStoreConfig, MooncakeDistributedNoFRegister

Descriptor = BufferDescriptor
RegisteredBufferLease = BufferLease


class MooncakeDistributedStore(SegmentCalls):
    """A store. Any number of threads may use one; a process may have several."""


def _tensor_metadata_size() -> int:
    """Bytes of a tensor's header."""
    return _TENSOR_METADATA_SIZE


def _export(*kinds: type) -> None:
    for kind in kinds:
        globals().update(kind.__members__)  # type: ignore[attr-defined]


# As Mooncake exports the values of its enums; of a name that two of them have the later counts.
_export(TaskStatus, TaskType, ReplicaStatus, SoftPinAction, ObjectDataType)

__all__ = [
    "BufferHandle", "BufferLease", "BufferPool", "Descriptor", "DiskDescriptor", "EngramStore", "EngramStoreConfig",
    "MemoryDescriptor", "MooncakeDistributedNoFRegister", "MooncakeDistributedStore", "MooncakeHostMemAllocator",
    "ObjectDataType", "ParallelAxis", "QueryTaskResponse", "ReadTarget", "RegisteredBufferLease",
    "RegisteredBufferPool", "ReplicaDescriptor", "ReplicaStatus", "ReplicateConfig", "SoftPinAction", "TaskStatus",
    "TaskType", "TensorParallelism", "bind_to_numa_node", "get_alloc_func_addr", "get_free_func_addr",
]
