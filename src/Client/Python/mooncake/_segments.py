# SPDX-License-Identifier: Apache-2.0
"""Where objects are, and the memory that this process contributes."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mooncake_mesh import Mesh, MeshError

from ._codes import INVALID_PARAMS, NOT_SUPPORTED, SEGMENT_NOT_FOUND, TASK_NOT_FOUND
from ._registered import address
from .replicas import ReplicaDescriptor
from .tensors import TensorCalls

_NO_TASK = ((0, 0), NOT_SUPPORTED)


class SegmentCalls(TensorCalls):
    """Replicas, segments, tasks."""

    def get_replica_desc(self, key: str) -> List[ReplicaDescriptor]:
        """A descriptor for each copy."""
        return self.batch_get_replica_desc([key]).get(key, [])

    def batch_get_replica_desc(self, keys: Sequence[str]) -> Dict[str, List[ReplicaDescriptor]]:
        """The same for several; keys without an object are left out."""
        return {key: [ReplicaDescriptor(one["size"], node) for node in one["nodes"]]
                for key, one in zip(keys, self._locate(keys)) if one["size"] >= 0}

    def batch_replica_clear(self, keys: Sequence[str], segment_name: str = "") -> List[str]:
        """Removes all copies; which keys had any. Copies of one node alone cannot be removed: none are."""
        if segment_name:
            return []
        return [key for key, code in zip(keys, self.batch_remove(keys)) if code == 0]

    def create_copy_task(self, key: str, targets: Sequence[str]) -> "Tuple[Tuple[int, int], int]":
        """-1012: nobody moves objects by order."""
        return _NO_TASK

    def create_move_task(self, key: str, source: str, target: str) -> "Tuple[Tuple[int, int], int]":
        """-1012."""
        return _NO_TASK

    def query_task(self, task_id: Any) -> "Tuple[Optional[Any], int]":
        """-1400: there are no tasks."""
        return None, TASK_NOT_FOUND

    def mount_segment(self, path: str, size: int, offset: int = 0, protocol: str = "tcp",
                      location: str = "") -> Dict[str, Any]:
        """-1012: memory of a file is not contributed."""
        address(size), address(offset)
        return {"ret": NOT_SUPPORTED, "segment_ids": []}

    def allocate_and_mount_segment(self, size: int, protocol: str = "tcp", location: str = "") -> Dict[str, Any]:
        """Contributes memory of this process: one more node of the mesh."""
        length = address(size)
        answer: Dict[str, Any] = {"ret": 0, "segment_ids": [], "allocated_size": 0}
        if self._mesh is None or length == 0:
            return {**answer, "ret": INVALID_PARAMS}
        host = self._options["hostname"].rsplit(":", 1)[0]
        try:
            segment = Mesh(**{**self._options, "hostname": host, "segment_size": length})
        except MeshError as failure:
            return {**answer, "ret": failure.code}
        name = str(uuid.uuid4())
        self._segments[name] = segment
        return {"ret": 0, "segment_ids": [name], "allocated_size": length}

    def unmount_and_free_segment(self, segment_ids: Sequence[str], grace_period_seconds: int = 0) -> int:
        """Takes it back; what was there is gone."""
        if isinstance(segment_ids, str):
            segment_ids = [segment_ids]
        if any(one not in self._segments for one in segment_ids):
            return SEGMENT_NOT_FOUND
        for one in segment_ids:
            self._segments.pop(one).close()
        return 0

    unmount_segment = unmount_and_free_segment

    def unmount_local_disk_segment(self, grace_period_seconds: int = 0) -> int:
        """-1012: there are none."""
        return NOT_SUPPORTED

    def get_offload_rpc_read_count(self) -> int:
        """0: nothing is offloaded."""
        return 0
