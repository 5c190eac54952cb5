# SPDX-License-Identifier: Apache-2.0
"""The functions of mooncake_mesh.h, with their types set once: what a call costs is what ctypes costs."""

from __future__ import annotations

import ctypes as c
from typing import Any

from ._library import load

PENDING = -2000
WAIT_MS = 100

_size = c.c_size_t
_ptr = c.c_void_p
_text = c.c_char_p
_out = c.POINTER(c.c_void_p)
_out_size = c.POINTER(c.c_size_t)
_key = (_text, _size)
_keys = (_ptr, _ptr)  # arrays of pointers and of sizes


class NativePutOptions(c.Structure):
    """mooncake_mesh_put_options."""

    _fields_ = [
        ("struct_size", c.c_size_t),
        ("replicas", c.c_int32),
        ("pin", c.c_int32),
        ("placement", c.c_int32),
        ("replace", c.c_int32),
        ("timeout_ms", c.c_int64),
        ("preferred_node", c.c_char_p),
        ("group", c.c_char_p),
        ("groups", c.c_void_p),
        ("stream", c.c_void_p),
    ]


class NativeGetOptions(c.Structure):
    """mooncake_mesh_get_options."""

    _fields_ = [("struct_size", c.c_size_t), ("stream", c.c_void_p)]


_SIGNATURES = {
    "open": (_text, _out),
    "close": (_ptr,),
    "health": (_ptr,),
    "hostname": (_ptr, _ptr, _size),
    "status": (_ptr, _text, _out, _out_size),
    "register_buffer": (_ptr, _ptr, _size),
    "unregister_buffer": (_ptr, _ptr),
    "wait": (c.c_int,),
    "cancel": (),
    "put": (_ptr, *_key, _ptr, _size, _ptr),
    "put_parts": (_ptr, *_key, _ptr, _ptr, _size, _ptr),
    "get_into": (_ptr, *_key, _ptr, _size),
    "get_into_with": (_ptr, *_key, _ptr, _size, _ptr),
    "get_parts": (_ptr, *_key, _ptr, _ptr, _size),
    "get_parts_with": (_ptr, *_key, _ptr, _ptr, _size, _ptr),
    "get_range": (_ptr, *_key, c.c_uint64, _ptr, _size),
    "get_range_with": (_ptr, *_key, c.c_uint64, _ptr, _size, _ptr),
    "get": (_ptr, *_key, _out, _out_size),
    "get_size": (_ptr, *_key),
    "exists": (_ptr, *_key),
    "remove": (_ptr, *_key),
    "remove_by_regex": (_ptr, _text),
    "remove_all": (_ptr,),
    "view_open": (_ptr, *_key, c.c_int, _out, _out, _out_size),
    "view_close": (_ptr,),
    "put_batch": (_ptr, *_keys, _ptr, _ptr, _size, _ptr, _ptr),
    "put_parts_batch": (_ptr, *_keys, _ptr, _ptr, _ptr, _size, _ptr, _ptr),
    "get_batch": (_ptr, *_keys, _ptr, _ptr, _size, _ptr),
    "get_batch_with": (_ptr, *_keys, _ptr, _ptr, _size, _ptr, _ptr),
    "get_parts_batch": (_ptr, *_keys, _ptr, _ptr, _ptr, _size, _ptr),
    "get_range_batch": (_ptr, *_keys, _ptr, _ptr, _ptr, _size, _ptr),
    "exists_batch": (_ptr, *_keys, _size, _ptr),
    "get_size_batch": (_ptr, *_keys, _size, _ptr),
    "remove_batch": (_ptr, *_keys, _size, _ptr),
    "match_prefix": (_ptr, *_keys, _size, _ptr),
    "locate_batch": (_ptr, *_keys, _size, _out, _out_size),
}


class Functions:
    """Each function of the table as an attribute."""

    def __init__(self) -> None:
        library = load()
        for name, types in _SIGNATURES.items():
            function = getattr(library, "mooncake_mesh_" + name)
            function.restype = c.c_int64
            function.argtypes = types
            setattr(self, name, function)
        for name in ("version", "last_error"):
            function = getattr(library, "mooncake_mesh_" + name)
            function.restype, function.argtypes = c.c_char_p, ()
            setattr(self, name, function)
        self.free = library.mooncake_mesh_free
        self.free.restype, self.free.argtypes = None, (_ptr,)


_functions = None


def functions() -> Functions:
    """The functions; the library is loaded when they are first asked for."""
    global _functions
    if _functions is None:
        _functions = Functions()
    return _functions


def last_error() -> str:
    """Why this thread's last failed call failed."""
    return functions().last_error().decode("utf-8", "replace")


def run(native: Functions, function: Any, *arguments: Any) -> int:
    """Calls, and waits slice by slice, so that signals are seen between them."""
    try:
        code = function(*arguments)
        while code == PENDING:
            code = native.wait(WAIT_MS)
        return code
    except BaseException:
        # The memory that the call was given must not go before the call has let go of it. A signal is seen as soon as
        # a slice ends, the first one too.
        native.cancel()
        raise


def take(native: Functions, memory: c.c_void_p, size: int) -> bytes:
    """Copies what the library returned in new memory, and frees that."""
    try:
        return c.string_at(memory, size)
    finally:
        native.free(memory)
