# SPDX-License-Identifier: Apache-2.0
"""Tensors of torch from memory, and memory of tensors."""

from __future__ import annotations

import ctypes as c
import importlib
from typing import Any, Tuple

from .layout import SIZE, Layout, NotATensor, number_of, shape_of


def torch() -> Any:
    """The module torch; ImportError says who needs it."""
    try:
        return importlib.import_module("torch")
    except ImportError as failure:
        raise ImportError("torch is needed to return a tensor, and is not installed") from failure


def held(tensor: Any) -> Tuple[Any, Layout]:
    """The tensor with its elements side by side in memory of this host, and what its header says."""
    for name in ("data_ptr", "dtype", "shape", "contiguous", "element_size"):
        if not hasattr(tensor, name):
            raise NotATensor(f"a tensor is needed, not {type(tensor).__name__}")
    device = getattr(getattr(tensor, "device", None), "type", "cpu")
    tensor = (tensor if device == "cpu" else tensor.detach().cpu()).contiguous()
    layout = Layout(number_of(str(tensor.dtype)), shape_of(tensor.shape), shape_of(tensor.shape))
    if layout.element != tensor.element_size():
        raise NotATensor(f"{tensor.dtype} has elements of {tensor.element_size()} bytes")
    return tensor, layout


def at(address: int, size: int) -> memoryview:
    """Memory at an address."""
    return memoryview((c.c_char * size).from_address(address)).cast("B") if size else memoryview(b"")


def elements(tensor: Any, layout: Layout) -> memoryview:
    """The bytes of a tensor's elements; the tensor must outlive them."""
    return at(tensor.data_ptr(), layout.bytes)


def view(memory: Any, layout: Layout) -> Any:
    """A tensor of torch over writable memory that begins with a header. It keeps the memory's owner."""
    library = torch()
    dtype = getattr(library, layout.type_name)
    if layout.bytes == 0:
        return library.empty(layout.shape, dtype=dtype)
    flat = library.frombuffer(memory, dtype=dtype, count=layout.bytes // layout.element, offset=SIZE)
    return flat.reshape(layout.shape)


def serialize(tensor: Any) -> Tuple[bytes, int, int, Any]:
    """The header, address and size of the elements, and the tensor that owns them."""
    owner, layout = held(tensor)
    return layout.pack(), owner.data_ptr(), layout.bytes, owner


def deserialize(data: Any) -> Any:
    """A tensor from its header and elements; ValueError where they are none."""
    copied = bytearray(data)
    return view(copied, Layout.parse(copied, len(copied)))
