# SPDX-License-Identifier: Apache-2.0
"""BufferHandle: memory of the library that is read as a buffer and freed with the object."""

from __future__ import annotations

import ctypes as c
import sys
import weakref

from mooncake_mesh._bindings import functions

if sys.version_info >= (3, 12):
    _Exporter = object
else:
    # Before 3.12 a class of Python cannot offer a buffer, so this makes the one type that can; it answers by the
    # memoryview in _view.
    class _Slot(c.Structure):
        _fields_ = [("slot", c.c_int), ("function", c.c_void_p)]

    class _Spec(c.Structure):
        _fields_ = [("name", c.c_char_p), ("basicsize", c.c_int), ("itemsize", c.c_int), ("flags", c.c_uint),
                    ("slots", c.POINTER(_Slot))]

    _get = c.pythonapi.PyObject_GetBuffer
    _get_typed = c.PYFUNCTYPE(c.c_int, c.py_object, c.c_void_p, c.c_int)(("PyObject_GetBuffer", c.pythonapi))

    @c.PYFUNCTYPE(c.c_int, c.py_object, c.c_void_p, c.c_int)
    def _get_buffer(owner, view, flags):
        return _get_typed(owner._view, view, flags)

    _BF_GETBUFFER, _DEFAULT, _BASETYPE = 1, 1 << 18, 1 << 10
    _slots = (_Slot * 2)(_Slot(_BF_GETBUFFER, c.cast(_get_buffer, c.c_void_p)), _Slot(0, None))
    _name = b"mooncake.buffers._Exporter"
    _from_spec = c.PYFUNCTYPE(c.py_object, c.POINTER(_Spec))(("PyType_FromSpec", c.pythonapi))
    _spec = _Spec(_name, 0, 0, _DEFAULT | _BASETYPE, _slots)
    _Exporter = _from_spec(c.byref(_spec))


class BufferHandle(_Exporter):  # type: ignore[misc, valid-type]
    """The bytes of an object."""

    def __init__(self, pointer: int, size: int) -> None:
        array = (c.c_char * size).from_address(pointer) if size else (c.c_char * 0)()
        # Every buffer of it holds the array: the memory goes when the last one has.
        weakref.finalize(array, functions().free, pointer)
        self._pointer = pointer
        self._view = memoryview(array).cast("B").cast("c")

    def ptr(self) -> int:
        """Address."""
        return self._pointer

    def size(self) -> int:
        """Bytes."""
        return len(self._view)

    def __len__(self) -> int:
        return len(self._view)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._view)
