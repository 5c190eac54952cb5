# SPDX-License-Identifier: Apache-2.0
"""Puts from and gets into registered memory, by address."""

from __future__ import annotations

import ctypes as c
from bisect import bisect_right
from itertools import chain
from typing import Any, List, Sequence

from mooncake_mesh._bindings import PENDING, WAIT_MS

from ._codes import INVALID_PARAMS
from ._hash_seed import watch
from ._objects import ObjectCalls
from ._registered import address, addresses
from ._session import store_key


class ZeroCopyCalls(ObjectCalls):
    """One buffer an object, or several."""

    def put_from(self, key: str, buffer_ptr: int, size: int, config: Any = None) -> int:
        """0 or a code."""
        return self._put_from(key, buffer_ptr, size, config, False)

    def upsert_from(self, key: str, buffer_ptr: int, size: int, config: Any = None) -> int:
        """The same, in place of what is there."""
        return self._put_from(key, buffer_ptr, size, config, True)

    def put_from_with_metadata(self, key: str, buffer_ptr: int, metadata_buffer_ptr: int, size: int,
                               metadata_size: int, config: Any = None) -> int:
        """The metadata, then the bytes, as one object."""
        return self.batch_put_from_multi_buffers(
            [key], [[metadata_buffer_ptr, buffer_ptr]], [[metadata_size, size]], config)[0]

    def _put_from(self, key: str, buffer_ptr: int, size: int, config: Any, replace: bool) -> int:
        name, start, length = store_key(key), address(buffer_ptr), address(size)
        if watch.active:
            watch.put([key])
        code, options, _kept = self._put_options(config, 1, replace)
        if code or not self._memory.contains(start, length):
            return code or INVALID_PARAMS
        return self._result(self._native.put, name, len(name), start, length, options)

    def batch_put_from(self, keys: Sequence[str], buffer_ptrs: Sequence[int], sizes: Sequence[int],
                       config: Any = None) -> List[int]:
        """0 or a code for each."""
        return self._put_many(keys, [[one] for one in buffer_ptrs], [[one] for one in sizes], config, False)

    def batch_upsert_from(self, keys: Sequence[str], buffer_ptrs: Sequence[int], sizes: Sequence[int],
                          config: Any = None) -> List[int]:
        """The same, in place of what is there."""
        return self._put_many(keys, [[one] for one in buffer_ptrs], [[one] for one in sizes], config, True)

    def batch_put_from_multi_buffers(self, keys: Sequence[str], all_buffer_ptrs: Sequence[Sequence[int]],
                                     all_sizes: Sequence[Sequence[int]], config: Any = None) -> List[int]:
        """0 or a code for each; an object is its buffers one after the other."""
        return self._put_many(keys, all_buffer_ptrs, all_sizes, config, False)

    def _put_many(self, keys: Sequence[str], pieces: Sequence[Sequence[int]], sizes: Sequence[Sequence[int]],
                  config: Any, replace: bool) -> List[int]:
        if watch.active:
            watch.put(keys)
        code, options, _kept = self._put_options(config, len(keys), replace)
        if code or len(pieces) != len(keys) or len(sizes) != len(keys):
            return [code or INVALID_PARAMS] * len(keys)
        return self._parts(self._native.put_parts_batch, keys, pieces, sizes, options)

    def get_into(self, key: str, buffer_ptr: int, size: int) -> int:
        """The object's size, or a code; a buffer that is too small is not touched."""
        # As contains() and _result(), written out: a caller counts the microseconds of this one, and here every
        # function of Python's costs one or two, as its code has left the caches while the last call was waited for.
        name = key.encode() if type(key) is str else store_key(key)
        if type(buffer_ptr) is not int or type(size) is not int or not 0 <= buffer_ptr <= buffer_ptr + size < 1 << 64:
            buffer_ptr, size = address(buffer_ptr), address(size)
        starts, ends = self._memory.ranges
        at = bisect_right(starts, buffer_ptr) - 1
        handle = self._handle
        if handle is None or at < 0 or buffer_ptr + size > ends[at]:
            return INVALID_PARAMS
        native = self._native
        try:
            code = native.get_into(handle, name, len(name), buffer_ptr, size)
            while code == PENDING:
                code = native.wait(WAIT_MS)
        except BaseException:
            native.cancel()
            raise
        if watch.active and (code <= 0 or hash(key) not in watch.own):
            watch.looked_for(key, code, self._objects)
        return code

    def batch_get_into(self, keys: Sequence[str], buffer_ptrs: Sequence[int], sizes: Sequence[int]) -> List[int]:
        """Size or a code for each."""
        return self.batch_get_into_multi_buffers(keys, [[one] for one in buffer_ptrs], [[one] for one in sizes])

    def batch_get_into_multi_buffers(self, keys: Sequence[str], all_buffer_ptrs: Sequence[Sequence[int]],
                                     all_sizes: Sequence[Sequence[int]],
                                     prefer_alloc_in_same_node: bool = False) -> List[int]:
        """Size or a code for each; the buffers of an object are filled one after the other."""
        if len(all_buffer_ptrs) != len(keys) or len(all_sizes) != len(keys):
            return [INVALID_PARAMS] * len(keys)
        codes = self._parts(self._native.get_parts_batch, keys, all_buffer_ptrs, all_sizes, ())
        if watch.active:
            watch.looked(keys, codes, self._objects)
        return codes

    def _parts(self, function: Any, keys: Sequence[str], pieces: Sequence[Sequence[int]],
               sizes: Sequence[Sequence[int]], options: Any) -> List[int]:
        """The positions whose memory is registered; the others are refused each by itself."""
        contains = self._memory.contains
        good, starts, lengths, counts = [], [], [], []
        for position, (some, each) in enumerate(zip(pieces, sizes)):
            begin, extent = addresses(some), addresses(each)
            if len(begin) == len(extent) and begin and all(map(contains, begin, extent)):
                good.append(position)
                starts.append(begin)
                lengths.append(extent)
                counts.append(len(begin))
        total = sum(counts)
        found = self._batch(
            function, [keys[position] for position in good],
            (c.c_void_p * total)(*chain.from_iterable(starts)), (c.c_size_t * total)(*chain.from_iterable(lengths)),
            (c.c_size_t * len(counts))(*counts), options=options)
        if len(good) == len(keys):
            return found
        results = [INVALID_PARAMS] * len(keys)
        for position, result in zip(good, found):
            results[position] = result
        return results
