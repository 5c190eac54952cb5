# SPDX-License-Identifier: Apache-2.0
"""Parts of objects: ranges of them into ranges of buffers, and sessions that move objects piece by piece."""

from __future__ import annotations

import ctypes as c
from typing import Any, Dict, List, Sequence, Tuple

from ._codes import INVALID_PARAMS, NOT_FOUND
from ._registered import address, addresses
from ._zero_copy import ZeroCopyCalls


class RangeCalls(ZeroCopyCalls):
    """Ranges and sessions."""

    def __init__(self) -> None:
        super().__init__()
        self._reading: "set[str]" = set()
        self._writing: Dict[str, Tuple[bytearray, Any]] = {}

    def get_into_ranges(self, buffer_ptrs: Sequence[int], all_keys: Sequence[Sequence[str]],
                        all_dst_offsets: Sequence[Sequence[Sequence[int]]],
                        all_src_offsets: Sequence[Sequence[Sequence[int]]],
                        all_sizes: Sequence[Sequence[Sequence[int]]]) -> List[List[List[int]]]:
        """Bytes or a code for each range of each key of each buffer."""
        whole = len(buffer_ptrs) == len(all_keys) == len(all_dst_offsets) == len(all_src_offsets) == len(all_sizes)
        flat: List[Tuple[str, int, int, int]] = []
        shape: List[List[int]] = []
        for buffer, keys, to, since, sizes in zip(buffer_ptrs, all_keys, all_dst_offsets, all_src_offsets, all_sizes):
            whole = whole and len(keys) == len(to) == len(since) == len(sizes)
            shape.append([len(one) for one in sizes])
            for key, into, start, size in zip(keys, to, since, sizes):
                whole = whole and len(into) == len(start) == len(size)
                flat += [(key, address(s), address(buffer) + address(i), address(n))
                         for i, s, n in zip(into, start, size)]
        if not whole:
            return [[[INVALID_PARAMS] * len(one) for one in sizes] for sizes in all_sizes]
        results = iter(self._get_ranges(flat))
        return [[[next(results) for _ in range(count)] for count in counts] for counts in shape]

    def _get_ranges(self, ranges: Sequence[Tuple[str, int, int, int]]) -> List[int]:
        """Size or a code for each (key, offset, address, size)."""
        good = [one for one in ranges if self._memory.contains(one[2], one[3])]
        count = len(good)
        found = iter(self._batch(
            self._native.get_range_batch, [one[0] for one in good], (c.c_uint64 * count)(*[one[1] for one in good]),
            (c.c_void_p * count)(*[one[2] for one in good]), (c.c_size_t * count)(*[one[3] for one in good])))
        return [next(found) if self._memory.contains(one[2], one[3]) else INVALID_PARAMS for one in ranges]

    # ---- sessions

    def batch_get_session_start(self, keys: Sequence[str]) -> List[int]:
        """0 for those that are there. Nothing is pinned: a get that comes too late says so."""
        found = [0 if one == 1 else NOT_FOUND if one == 0 else one for one in self.batch_is_exist(keys)]
        self._reading.update(key for key, code in zip(keys, found) if code == 0)
        return found

    def batch_get_into_multi_buffer_ranges(self, keys: Sequence[str], all_buffer_ptrs: Sequence[Sequence[int]],
                                           all_sizes: Sequence[Sequence[int]],
                                           all_src_offsets: Sequence[Sequence[int]]) -> List[int]:
        """Bytes or a code for each key: its ranges go into buffers of their own."""
        if not len(keys) == len(all_buffer_ptrs) == len(all_sizes) == len(all_src_offsets):
            return [INVALID_PARAMS] * len(keys)
        results = []
        for key, starts, sizes, offsets in zip(keys, all_buffer_ptrs, all_sizes, all_src_offsets):
            if key not in self._reading or not len(starts) == len(sizes) == len(offsets):
                results.append(INVALID_PARAMS)
                continue
            parts = self._get_ranges(list(zip([key] * len(starts), addresses(offsets), addresses(starts),
                                              addresses(sizes))))
            results.append(next((one for one in parts if one < 0), sum(parts)))
        return results

    def batch_get_session_end(self, keys: Sequence[str]) -> int:
        """0."""
        self._reading.difference_update(keys)
        return 0

    def batch_put_session_start(self, keys: Sequence[str], sizes: Sequence[int], config: Any = None) -> List[int]:
        """Begins objects of these sizes; they are in this process until the session ends."""
        code, _, _ = self._put_options(config, len(keys), False)
        if code or len(keys) != len(sizes):
            return [code or INVALID_PARAMS] * len(keys)
        for key, size in zip(keys, addresses(sizes)):
            self._writing[key] = (bytearray(size), config)
        return [0] * len(keys)

    def batch_put_from_multi_buffer_ranges(self, keys: Sequence[str], all_buffer_ptrs: Sequence[Sequence[int]],
                                           all_sizes: Sequence[Sequence[int]],
                                           all_dst_offsets: Sequence[Sequence[int]]) -> List[int]:
        """0 or a code for each key: buffers go into ranges of its object."""
        if not len(keys) == len(all_buffer_ptrs) == len(all_sizes) == len(all_dst_offsets):
            return [INVALID_PARAMS] * len(keys)
        return [self._write(*one) for one in zip(keys, all_buffer_ptrs, all_sizes, all_dst_offsets)]

    def _write(self, key: str, starts: Sequence[int], sizes: Sequence[int], offsets: Sequence[int]) -> int:
        if key not in self._writing or not len(starts) == len(sizes) == len(offsets):
            return INVALID_PARAMS
        value = self._writing[key][0]
        pieces = list(zip(addresses(starts), addresses(sizes), addresses(offsets)))
        if any(offset + size > len(value) or not self._memory.contains(start, size) for start, size, offset in pieces):
            return INVALID_PARAMS
        for start, size, offset in pieces:
            value[offset:offset + size] = c.string_at(start, size)
        return 0

    def batch_put_session_end(self, keys: Sequence[str]) -> List[int]:
        """Puts them: 0 or a code for each."""
        results = []
        for key in keys:
            value, config = self._writing.pop(key, (None, None))
            results.append(INVALID_PARAMS if value is None else self._put_parts(key, [value], config, False))
        return results

    def batch_put_session_revoke(self, keys: Sequence[str]) -> List[int]:
        """Forgets them: 0, or a code for one that was not begun."""
        return [INVALID_PARAMS if self._writing.pop(key, None) is None else 0 for key in keys]
