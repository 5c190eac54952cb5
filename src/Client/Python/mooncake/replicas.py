# SPDX-License-Identifier: Apache-2.0
"""What is said of a copy and of a task."""

from __future__ import annotations

import enum


class ReplicaStatus(enum.IntEnum):
    """How far a copy is; those that are told of are complete."""

    UNDEFINED = 0
    INITIALIZED = 1
    PROCESSING = 2
    COMPLETE = 3
    REMOVED = 4
    FAILED = 5


class TaskType(enum.IntEnum):
    """What a task does."""

    REPLICA_COPY = 0
    REPLICA_MOVE = 1


class TaskStatus(enum.IntEnum):
    """How far a task is."""

    PENDING = 0
    PROCESSING = 1
    SUCCESS = 2
    FAILED = 3


class BufferDescriptor:
    """Size of a copy, and the node that has it. The address is that node's matter, and 0 here."""

    def __init__(self, size: int = 0, endpoint: str = "") -> None:
        self.size = self.size_ = size
        self.buffer_address = self.buffer_address_ = 0
        self.transport_endpoint = self.transport_endpoint_ = endpoint


class MemoryDescriptor:
    """A copy in memory."""

    def __init__(self, buffer: BufferDescriptor) -> None:
        self.buffer_descriptor = buffer


class DiskDescriptor:
    """A copy on a disk, of which there are none."""

    def __init__(self) -> None:
        self.file_path = ""
        self.object_size = 0


class QueryTaskResponse:
    """What is said of a task; there are none."""

    def __init__(self) -> None:
        self.id = (0, 0)
        self.type = TaskType.REPLICA_COPY
        self.status = TaskStatus.PENDING
        self.created_at_ms_epoch = self.last_updated_at_ms_epoch = 0
        self.assigned_client = (0, 0)
        self.message = ""


class ReplicaDescriptor:
    """A copy."""

    def __init__(self, size: int, endpoint: str) -> None:
        self.status = ReplicaStatus.COMPLETE
        self._memory = MemoryDescriptor(BufferDescriptor(size, endpoint))

    def is_memory_replica(self) -> bool:
        """True."""
        return True

    def is_disk_replica(self) -> bool:
        """False."""
        return False

    is_local_disk_replica = is_disk_replica

    def get_memory_descriptor(self) -> MemoryDescriptor:
        """Where it is."""
        return self._memory

    def get_disk_descriptor(self) -> None:
        """There is none."""
        raise RuntimeError("the copy is in memory")
