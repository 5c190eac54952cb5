# SPDX-License-Identifier: Apache-2.0
"""The functions of transfer_engine_c.h, with their types."""

from __future__ import annotations

import ctypes as c
from typing import Any

from mooncake_mesh._library import load

_ptr, _text, _size, _batch = c.c_void_p, c.c_char_p, c.c_size_t, c.c_uint64


class Request(c.Structure):
    """transfer_request."""

    _fields_ = [("opcode", c.c_int), ("source", c.c_void_p), ("target_id", c.c_int32),
                ("target_offset", c.c_uint64), ("length", c.c_uint64)]


class NotifyMessage(c.Structure):
    """notify_msg."""

    _fields_ = [("name", c.c_char_p), ("msg", c.c_char_p)]


_SIGNATURES = {
    "createTransferEngine": (_ptr, (_text, _text, _text, c.c_uint64, c.c_int)),
    "destroyTransferEngine": (None, (_ptr,)),
    "getLocalIpAndPort": (c.c_int, (_ptr, _ptr, _size)),
    "installTransport": (_ptr, (_ptr, _text, _ptr)),
    "openSegment": (c.c_int32, (_ptr, _text)),
    "warmupEfaSegment": (c.c_int, (_ptr, _text)),
    "registerLocalMemory": (c.c_int, (_ptr, _ptr, _size, _text, c.c_int)),
    "unregisterLocalMemory": (c.c_int, (_ptr, _ptr)),
    "allocateBatchID": (_batch, (_ptr, _size)),
    "freeBatchID": (c.c_int, (_ptr, _batch)),
    "submitTransfer": (c.c_int, (_ptr, _batch, _ptr, _size)),
    "submitTransferWithNotify": (c.c_int, (_ptr, _batch, _ptr, _size, NotifyMessage)),
    "getNotifsFromEngine": (c.POINTER(NotifyMessage), (_ptr, c.POINTER(c.c_int))),
    "freeNotifsMsgBuf": (c.c_int, (c.POINTER(NotifyMessage), c.c_int)),
    "mooncake_mesh_engine_allocate": (c.c_int64, (_ptr, _size, c.POINTER(_ptr))),
    "mooncake_mesh_engine_free": (c.c_int64, (_ptr, _ptr, _size)),
    "mooncake_mesh_engine_first_buffer": (c.c_int64, (_ptr, c.c_int32, c.POINTER(c.c_uint64))),
    "mooncake_mesh_engine_topology": (c.c_int64, (_ptr, _text, c.POINTER(_ptr), c.POINTER(_size))),
    "mooncake_mesh_engine_probe": (c.c_int64, (_ptr, _text)),
    "mooncake_mesh_engine_transfer_on_stream": (
        c.c_int64, (_ptr, _ptr, _size, _ptr, c.c_int, c.POINTER(c.c_int), c.POINTER(c.c_uint64))),
    "mooncake_mesh_engine_wait": (c.c_int64, (_ptr, _batch, c.c_int, c.POINTER(c.c_int), c.POINTER(c.c_uint64))),
    "mooncake_mesh_free": (None, (_ptr,)),
}


class _Native:
    def __init__(self) -> None:
        library = load()
        for name, (result, types) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, types
            setattr(self, name, function)
        self.free = library.mooncake_mesh_free


_native: Any = None


def native() -> Any:
    """The functions; the library is loaded when they are first asked for."""
    global _native
    if _native is None:
        _native = _Native()
    return _native
