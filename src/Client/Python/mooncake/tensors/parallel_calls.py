# SPDX-License-Identifier: Apache-2.0
"""The calls for tensors with axes of parallelism, or with a part for each of several writers."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from .reads import TensorReads, each


class ParallelCalls(TensorReads):
    """
    parallelism: the tensor is whole along its tp axis, and every part along it is put. writer_partition: of the whole
    tensor the part of this writer is put. A get cuts and joins what was put in another way.
    """

    def put_tensor_with_parallelism(self, key: str, tensor: Any, parallelism: Any = None, config: Any = None,
                                    writer_partition: Any = None) -> int:
        """0 or a code."""
        return self._put_tensor(self._requested(key, tensor, parallelism, writer_partition), config)

    def batch_put_tensor_with_parallelism(self, keys: Sequence[str], tensors_list: Sequence[Any],
                                          parallelisms: Optional[Sequence[Any]] = None, config: Any = None,
                                          writer_partitions: Optional[Sequence[Any]] = None) -> List[int]:
        """0 or a code for each."""
        return self._many(self._requested, keys, tensors_list, parallelisms, writer_partitions, config=config)

    def put_tensor_with_parallelism_from(self, key: str, buffer_ptr: int, size: int, parallelism: Any = None,
                                         config: Any = None, writer_partition: Any = None) -> int:
        """0 or a code."""
        return self._put_tensor(self._requested_from(key, buffer_ptr, size, parallelism, writer_partition), config)

    def batch_put_tensor_with_parallelism_from(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                                               sizes: Sequence[int], parallelisms: Optional[Sequence[Any]] = None,
                                               config: Any = None,
                                               writer_partitions: Optional[Sequence[Any]] = None) -> List[int]:
        """0 or a code for each."""
        return self._many(self._requested_from, keys, buffer_ptrs, sizes, parallelisms, writer_partitions,
                          config=config)

    def upsert_tensor_with_parallelism(self, key: str, tensor: Any, parallelism: Any = None, config: Any = None,
                                       writer_partition: Any = None) -> int:
        """0 or a code."""
        return self._put_tensor(self._requested(key, tensor, parallelism, writer_partition), config, True)

    def batch_upsert_tensor_with_parallelism(self, keys: Sequence[str], tensors_list: Sequence[Any],
                                             parallelisms: Optional[Sequence[Any]] = None, config: Any = None,
                                             writer_partitions: Optional[Sequence[Any]] = None) -> List[int]:
        """0 or a code for each."""
        return self._many(self._requested, keys, tensors_list, parallelisms, writer_partitions, config=config,
                          replace=True)

    def upsert_tensor_with_parallelism_from(self, key: str, buffer_ptr: int, size: int, parallelism: Any = None,
                                            config: Any = None, writer_partition: Any = None) -> int:
        """0 or a code."""
        return self._put_tensor(self._requested_from(key, buffer_ptr, size, parallelism, writer_partition), config,
                                True)

    def batch_upsert_tensor_with_parallelism_from(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                                                  sizes: Sequence[int], parallelisms: Optional[Sequence[Any]] = None,
                                                  config: Any = None,
                                                  writer_partitions: Optional[Sequence[Any]] = None) -> List[int]:
        """0 or a code for each."""
        return self._many(self._requested_from, keys, buffer_ptrs, sizes, parallelisms, writer_partitions,
                          config=config, replace=True)

    def get_tensor_with_parallelism(self, key: str, target: Any = None) -> Optional[Any]:
        """The tensor that a ReadTarget names, or None."""
        return self._get_wanted(key, target)

    def batch_get_tensor_with_parallelism(self, keys: Sequence[str],
                                          targets: Optional[Sequence[Any]] = None) -> List[Optional[Any]]:
        """The same for several."""
        return each(self._get_wanted, list(keys), targets)

    def get_tensor_with_parallelism_into(self, key: str, buffer_ptr: int, size: int,
                                         target: Any = None) -> Optional[Any]:
        """The same, in the buffer."""
        return self._get_wanted_into(key, buffer_ptr, size, target)

    def batch_get_tensor_with_parallelism_into(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                                               sizes: Sequence[int],
                                               targets: Optional[Sequence[Any]] = None) -> List[Optional[Any]]:
        """The same for several."""
        return each(self._get_wanted_into, list(keys), buffer_ptrs, sizes, targets)
