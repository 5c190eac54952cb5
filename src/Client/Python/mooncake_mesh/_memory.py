# SPDX-License-Identifier: Apache-2.0
"""Addresses of what Python has: buffers, arrays, tensors; and arrays of them for batches."""

from __future__ import annotations

import ctypes as c
from typing import Any, Iterable, List, Sequence, Tuple, Union

Key = Union[str, bytes]


class _PyBuffer(c.Structure):
    _fields_ = [
        ("buf", c.c_void_p), ("obj", c.c_void_p), ("len", c.c_ssize_t), ("itemsize", c.c_ssize_t),
        ("readonly", c.c_int), ("ndim", c.c_int), ("format", c.c_char_p), ("shape", c.c_void_p),
        ("strides", c.c_void_p), ("suboffsets", c.c_void_p), ("internal", c.c_void_p),
    ]


_get_buffer = c.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes, _get_buffer.restype = (c.py_object, c.POINTER(_PyBuffer), c.c_int), c.c_int
_release = c.pythonapi.PyBuffer_Release
_release.argtypes, _release.restype = (c.POINTER(_PyBuffer),), None
_WRITABLE = 1


class Held:
    """Memory of an object, held in place until this goes: address and size in bytes."""

    __slots__ = ("address", "size", "_buffer", "_owner")

    def __init__(self, owner: Any, writable: bool) -> None:
        self._buffer = None
        self._owner = owner
        data_ptr = getattr(owner, "data_ptr", None)
        if data_ptr is not None:
            # A tensor: its memory may be a device's, which has no buffer.
            if not owner.is_contiguous():
                raise BufferError("the tensor is not contiguous")
            self.address, self.size = data_ptr(), owner.numel() * owner.element_size()
            return
        buffer = _PyBuffer()
        try:
            _get_buffer(owner, c.byref(buffer), _WRITABLE if writable else 0)
        except TypeError:
            self.address, self.size = _array_interface(owner, writable)
            return
        self._buffer = buffer
        self.address, self.size = buffer.buf, buffer.len

    def __del__(self) -> None:
        if self._buffer is not None:
            _release(c.byref(self._buffer))


def _array_interface(owner: Any, writable: bool) -> Tuple[int, int]:
    interface = getattr(owner, "__array_interface__", None) or getattr(owner, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"a buffer, array or tensor is needed, not {type(owner).__name__}")
    address, read_only = interface["data"]
    if interface.get("strides") is not None:
        raise BufferError("the array is not contiguous")
    if read_only and writable:
        raise BufferError("the array is read-only")
    size = int("".join(ch for ch in interface["typestr"][2:] if ch.isdigit()))
    for extent in interface["shape"]:
        size *= extent
    return address, size


def key_bytes(key: Key) -> bytes:
    """A key as it is sent; keys of text are UTF-8."""
    if type(key) is str:
        return key.encode()
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return str.encode(key)
    raise TypeError(f"a key is str or bytes, not {type(key).__name__}")


def key_arrays(keys: Sequence[bytes]) -> "Tuple[Any, Any]":
    """Pointers and sizes; the keys must outlive them."""
    count = len(keys)
    return (c.c_char_p * count)(*keys), (c.c_size_t * count)(*map(len, keys))


def pointers(addresses: Sequence[int]) -> Any:
    """An array of addresses."""
    return (c.c_void_p * len(addresses))(*addresses)


def sizes_of(sizes: Sequence[int]) -> Any:
    """An array of sizes: those that no memory can have are refused, and not cut to 64 bits."""
    for size in sizes:
        if not 0 <= size < 1 << 64:
            raise ValueError(f"a size is {size}")
    return (c.c_size_t * len(sizes))(*sizes)


def hold_all(values: Iterable[Any], writable: bool) -> List[Held]:
    """The memory of each."""
    return [Held(value, writable) for value in values]
