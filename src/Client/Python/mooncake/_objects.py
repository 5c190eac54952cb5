# SPDX-License-Identifier: Apache-2.0
"""Puts and gets of bytes: values in memory of Python."""

from __future__ import annotations

import ctypes as c
from typing import Any, List, Optional, Sequence

from mooncake_mesh._bindings import take
from mooncake_mesh._memory import hold_all, pointers, sizes_of

from ._codes import INVALID_PARAMS
from ._hash_seed import watch
from ._session import Session, store_key
from .buffers import BufferHandle


class ObjectCalls(Session):
    """One object, or several of them."""

    def put(self, key: str, value: Any, config: Any = None) -> int:
        """0, also for a key that has an object, which stays; else a code."""
        return self._put_parts(key, [value], config, False)

    def upsert(self, key: str, value: Any, config: Any = None) -> int:
        """The same, in place of what is there."""
        return self._put_parts(key, [value], config, True)

    def put_parts(self, key: str, *parts: Any, config: Any = None) -> int:
        """The parts one after the other as one object."""
        return self._put_parts(key, parts, config, False)

    def upsert_parts(self, key: str, *parts: Any, config: Any = None) -> int:
        """The same, in place of what is there."""
        return self._put_parts(key, parts, config, True)

    def put_batch(self, keys: Sequence[str], values: Sequence[Any], config: Any = None) -> int:
        """0 when all were put; else the first code."""
        return self._put_values(keys, values, config, False)

    def upsert_batch(self, keys: Sequence[str], values: Sequence[Any], config: Any = None) -> int:
        """The same, in place of what is there."""
        return self._put_values(keys, values, config, True)

    def _put_parts(self, key: str, parts: Sequence[Any], config: Any, replace: bool) -> int:
        name, held = store_key(key), hold_all(parts, False)
        if watch.active:
            watch.put([key])
        code, options, _kept = self._put_options(config, 1, replace)
        if code or not self._has_local_buffer:
            return code or INVALID_PARAMS
        if len(held) == 1:
            return self._result(self._native.put, name, len(name), held[0].address, held[0].size, options)
        return self._result(self._native.put_parts, name, len(name), pointers([h.address for h in held]),
                            sizes_of([h.size for h in held]), len(held), options)

    def _put_values(self, keys: Sequence[str], values: Sequence[Any], config: Any, replace: bool) -> int:
        held = hold_all(values, False)
        if watch.active:
            watch.put(keys)
        code, options, _kept = self._put_options(config, len(keys), replace)
        if code or len(keys) != len(held) or not self._has_local_buffer:
            return code or INVALID_PARAMS
        results = self._batch(self._native.put_batch, keys, pointers([h.address for h in held]),
                              sizes_of([h.size for h in held]), options=options)
        return next((one for one in results if one < 0), 0)

    def get(self, key: str) -> bytes:
        """The object; b"" on any failure."""
        name = store_key(key)
        data, size = c.c_void_p(), c.c_size_t()
        code = self._result(self._native.get, name, len(name), c.byref(data), c.byref(size))
        if watch.active:
            watch.looked_for(key, 1 if code >= 0 else 0, self._objects)
        return take(self._native, data, size.value) if code >= 0 else b""

    def get_batch(self, keys: Sequence[str]) -> List[bytes]:
        """The objects; b"" for those that failed."""
        return [self.get(key) for key in keys]

    def get_buffer(self, key: str) -> Optional[BufferHandle]:
        """The object in memory of the library, or None."""
        name = store_key(key)
        data, size = c.c_void_p(), c.c_size_t()
        code = self._result(self._native.get, name, len(name), c.byref(data), c.byref(size))
        if watch.active:
            watch.looked_for(key, 1 if code >= 0 else 0, self._objects)
        return BufferHandle(data.value or 0, size.value) if code >= 0 else None

    def batch_get_buffer(self, keys: Sequence[str]) -> List[Optional[BufferHandle]]:
        """The same for several."""
        return [self.get_buffer(key) for key in keys]

    def is_exist(self, key: str) -> int:
        """1, 0, or a code."""
        name = store_key(key)
        code = self._result(self._native.exists, name, len(name))
        if watch.active:
            watch.looked_for(key, code, self._objects)
        return code

    isExist = is_exist

    def batch_is_exist(self, keys: Sequence[str]) -> List[int]:
        """The same for several."""
        codes = self._batch(self._native.exists_batch, keys)
        if watch.active:
            watch.looked(keys, codes, self._objects)
        return codes

    def get_size(self, key: str) -> int:
        """Bytes, or a code."""
        name = store_key(key)
        return self._result(self._native.get_size, name, len(name))

    def remove(self, key: str, force: bool = False) -> int:
        """0, or -704. There are no read leases: force changes nothing."""
        name = store_key(key)
        return self._result(self._native.remove, name, len(name))

    def batch_remove(self, keys: Sequence[str], force: bool = False) -> List[int]:
        """The same for several."""
        return self._batch(self._native.remove_batch, keys)

    def remove_by_regex(self, regex_pattern: str, force: bool = False) -> int:
        """How many there were, or a code."""
        return self._result(self._native.remove_by_regex, store_key(regex_pattern))

    def remove_all(self, force: bool = False) -> int:
        """How many copies there were, or a code."""
        return self._result(self._native.remove_all)
