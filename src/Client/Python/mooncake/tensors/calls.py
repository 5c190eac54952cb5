# SPDX-License-Identifier: Apache-2.0
"""The calls for tensors: whole ones, and their parts for tensor parallelism."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from .files import TensorFiles
from .parallelism import tp_key
from .reads import each


class TensorCalls(TensorFiles):
    """put_ keeps what is there and upsert_ replaces it; pub_ takes a ReplicateConfig; _from and _into go by address."""

    # ---- whole tensors

    def put_tensor(self, key: str, tensor: Any) -> int:
        """0 or a code."""
        return self._put_tensor(self._whole(key, tensor))

    def batch_put_tensor(self, keys: Sequence[str], tensors_list: Sequence[Any]) -> List[int]:
        """0 or a code for each."""
        return self._many(self._whole, keys, tensors_list)

    def pub_tensor(self, key: str, tensor: Any, config: Any = None) -> int:
        """0 or a code."""
        return self._put_tensor(self._whole(key, tensor), config)

    def batch_pub_tensor(self, keys: Sequence[str], tensors_list: Sequence[Any], config: Any = None) -> List[int]:
        """0 or a code for each."""
        return self._many(self._whole, keys, tensors_list, config=config)

    def upsert_tensor(self, key: str, tensor: Any) -> int:
        """0 or a code."""
        return self._put_tensor(self._whole(key, tensor), None, True)

    def batch_upsert_tensor(self, keys: Sequence[str], tensors_list: Sequence[Any]) -> List[int]:
        """0 or a code for each."""
        return self._many(self._whole, keys, tensors_list, replace=True)

    def upsert_pub_tensor(self, key: str, tensor: Any, config: Any = None) -> int:
        """0 or a code."""
        return self._put_tensor(self._whole(key, tensor), config, True)

    def batch_upsert_pub_tensor(self, keys: Sequence[str], tensors_list: Sequence[Any],
                                config: Any = None) -> List[int]:
        """0 or a code for each."""
        return self._many(self._whole, keys, tensors_list, config=config, replace=True)

    def get_tensor(self, key: str) -> Optional[Any]:
        """The tensor, or None."""
        return self._get_tensor(key)

    def batch_get_tensor(self, keys: Sequence[str]) -> List[Optional[Any]]:
        """The same for several."""
        return [self._get_tensor(key) for key in keys]

    # ---- from and into registered memory: header, then elements

    def put_tensor_from(self, key: str, buffer_ptr: int, size: int) -> int:
        """0 or a code; size is what the tensor takes, not what the buffer has."""
        return self._put_tensor(self._whole_from(key, buffer_ptr, size))

    def batch_put_tensor_from(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                              sizes: Sequence[int]) -> List[int]:
        """The same for several."""
        return self._many(self._whole_from, keys, buffer_ptrs, sizes)

    def upsert_tensor_from(self, key: str, buffer_ptr: int, size: int) -> int:
        """0 or a code."""
        return self._put_tensor(self._whole_from(key, buffer_ptr, size), None, True)

    def batch_upsert_tensor_from(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                                 sizes: Sequence[int]) -> List[int]:
        """The same for several."""
        return self._many(self._whole_from, keys, buffer_ptrs, sizes, replace=True)

    def get_tensor_into(self, key: str, buffer_ptr: int, size: int) -> Optional[Any]:
        """A tensor that lies in the buffer, or None."""
        return self._get_tensor_into(key, buffer_ptr, size)

    def batch_get_tensor_into(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                              sizes: Sequence[int]) -> List[Optional[Any]]:
        """The same for several."""
        return each(self._get_tensor_into, list(keys), buffer_ptrs, sizes)

    def get_tensor_into_cuda(self, key: str, buffer_ptr: int, size: int) -> Optional[Any]:
        """The same in memory of a CUDA device, by way of the host."""
        return self._get_into_device(key, buffer_ptr, size)

    def batch_get_tensor_into_cuda(self, keys: Sequence[str], buffer_ptrs: Sequence[int],
                                   sizes: Sequence[int]) -> List[Optional[Any]]:
        """The same for several."""
        return each(self._get_into_device, list(keys), buffer_ptrs, sizes)

    # ---- parts for tensor parallelism, under key_tp_RANK: a put writes them all, whatever its tp_rank

    def put_tensor_with_tp(self, key: str, tensor: Any, tp_rank: int = 0, tp_size: int = 1, split_dim: int = 0) -> int:
        """0 or a code."""
        return self._put_tensor(self._tp(key, tensor, tp_size, split_dim))

    def batch_put_tensor_with_tp(self, base_keys: Sequence[str], tensors_list: Sequence[Any], tp_rank: int = 0,
                                 tp_size: int = 1, split_dim: int = 0) -> List[int]:
        """0 or a code for each."""
        return self._many(self._tp, base_keys, tensors_list, size=tp_size, dimension=split_dim)

    def pub_tensor_with_tp(self, key: str, tensor: Any, config: Any = None, tp_rank: int = 0, tp_size: int = 1,
                           split_dim: int = 0) -> int:
        """0 or a code."""
        return self._put_tensor(self._tp(key, tensor, tp_size, split_dim), config)

    def batch_pub_tensor_with_tp(self, base_keys: Sequence[str], tensors_list: Sequence[Any], config: Any = None,
                                 tp_rank: int = 0, tp_size: int = 1, split_dim: int = 0) -> List[int]:
        """0 or a code for each."""
        return self._many(self._tp, base_keys, tensors_list, config=config, size=tp_size, dimension=split_dim)

    def upsert_tensor_with_tp(self, key: str, tensor: Any, tp_rank: int = 0, tp_size: int = 1,
                              split_dim: int = 0) -> int:
        """0 or a code."""
        return self._put_tensor(self._tp(key, tensor, tp_size, split_dim), None, True)

    def batch_upsert_tensor_with_tp(self, base_keys: Sequence[str], tensors_list: Sequence[Any], tp_rank: int = 0,
                                    tp_size: int = 1, split_dim: int = 0) -> List[int]:
        """0 or a code for each."""
        return self._many(self._tp, base_keys, tensors_list, replace=True, size=tp_size, dimension=split_dim)

    def upsert_pub_tensor_with_tp(self, key: str, tensor: Any, config: Any = None, tp_rank: int = 0, tp_size: int = 1,
                                  split_dim: int = 0) -> int:
        """0 or a code."""
        return self._put_tensor(self._tp(key, tensor, tp_size, split_dim), config, True)

    def batch_upsert_pub_tensor_with_tp(self, base_keys: Sequence[str], tensors_list: Sequence[Any],
                                        config: Any = None, tp_rank: int = 0, tp_size: int = 1,
                                        split_dim: int = 0) -> List[int]:
        """0 or a code for each."""
        return self._many(self._tp, base_keys, tensors_list, config=config, replace=True, size=tp_size,
                          dimension=split_dim)

    def put_tensor_with_tp_from(self, key: str, buffer_ptr: int, size: int, tp_rank: int = 0, tp_size: int = 1,
                                split_dim: int = 0) -> int:
        """0 or a code; the buffer has the whole tensor."""
        return self._put_tensor(self._tp_from(key, buffer_ptr, size, tp_size, split_dim))

    def batch_put_tensor_with_tp_from(self, base_keys: Sequence[str], buffer_ptrs: Sequence[int],
                                      sizes: Sequence[int], tp_rank: int = 0, tp_size: int = 1,
                                      split_dim: int = 0) -> List[int]:
        """The same for several."""
        return self._many(self._tp_from, base_keys, buffer_ptrs, sizes, size=tp_size, dimension=split_dim)

    def get_tensor_with_tp(self, key: str, tp_rank: int = 0, tp_size: int = 1, split_dim: int = 0) -> Optional[Any]:
        """The part of one rank, or None."""
        return self._get_tensor(_part(key, tp_rank, tp_size))

    def batch_get_tensor_with_tp(self, base_keys: Sequence[str], tp_rank: int = 0,
                                 tp_size: int = 1) -> List[Optional[Any]]:
        """The same for several."""
        return [self._get_tensor(_part(key, tp_rank, tp_size)) for key in base_keys]

    def get_tensor_with_tp_into(self, key: str, buffer_ptr: int, size: int, tp_rank: int = 0, tp_size: int = 1,
                                split_dim: int = 0) -> Optional[Any]:
        """The part of one rank, in the buffer."""
        return self._get_tensor_into(_part(key, tp_rank, tp_size), buffer_ptr, size)

    def batch_get_tensor_with_tp_into(self, base_keys: Sequence[str], buffer_ptrs: Sequence[int],
                                      sizes: Sequence[int], tp_rank: int = 0, tp_size: int = 1,
                                      split_dim: int = 0) -> List[Optional[Any]]:
        """The same for several."""
        return each(self._get_tensor_into, [_part(key, tp_rank, tp_size) for key in base_keys], buffer_ptrs, sizes)


def _part(key: str, rank: int, size: int) -> str:
    return tp_key(key, rank) if size > 1 else key
