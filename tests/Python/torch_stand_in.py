# SPDX-License-Identifier: Apache-2.0
"""A stand-in for torch: as much of a tensor as the calls for tensors touch, over plain memory of Python."""

import ctypes
import importlib
import math
import sys
import types
from contextlib import contextmanager
from unittest import mock

SIZES = {"float32": 4, "float64": 8, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "bool": 1,
         "float16": 2, "bfloat16": 2}


class DType:
    def __init__(self, name):
        self.name, self.size = name, SIZES[name]

    def __str__(self):
        return f"torch.{self.name}"


class Tensor:
    """Elements side by side, last dimension first, in a writable memoryview of bytes."""

    def __init__(self, dtype, shape, memory):
        self.dtype, self.shape, self.memory = dtype, tuple(shape), memory
        self.device = types.SimpleNamespace(type="cpu")

    def contiguous(self):
        return self

    def is_contiguous(self):
        return True

    def numel(self):
        return math.prod(self.shape)

    def element_size(self):
        return self.dtype.size

    def data_ptr(self):
        return ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) if len(self.memory) else 0

    def reshape(self, shape):
        return Tensor(self.dtype, shape, self.memory)

    def tobytes(self):
        return bytes(self.memory)

    def narrow(self, dimension, start, extent):
        inner = math.prod(self.shape[dimension + 1:]) * self.dtype.size
        row = self.shape[dimension] * inner
        data = b"".join(self.memory[at * row + start * inner:at * row + (start + extent) * inner]
                        for at in range(math.prod(self.shape[:dimension])))
        return tensor(data, self.dtype, self.shape[:dimension] + (extent,) + self.shape[dimension + 1:])


def tensor(data, dtype, shape):
    return Tensor(dtype, shape, memoryview(bytearray(data)))


def frombuffer(buffer, dtype, count, offset):
    return Tensor(dtype, (count,), memoryview(buffer).cast("B")[offset:offset + count * dtype.size])


def cat(tensors, dimension):
    first = tensors[0]
    rows = [math.prod(one.shape[dimension:]) * first.dtype.size for one in tensors]
    data = b"".join(bytes(one.memory[at * row:(at + 1) * row])
                    for at in range(math.prod(first.shape[:dimension])) for one, row in zip(tensors, rows))
    whole = sum(one.shape[dimension] for one in tensors)
    return tensor(data, first.dtype, first.shape[:dimension] + (whole,) + first.shape[dimension + 1:])


def empty(shape, dtype):
    return tensor(bytes(math.prod(shape) * dtype.size), dtype, shape)


def make():
    module = types.ModuleType("torch")
    module.frombuffer, module.cat, module.empty = frombuffer, cat, empty
    for name in SIZES:
        setattr(module, name, DType(name))
    return module


@contextmanager
def installed():
    """The stand-in as the module torch, also where there is the real one."""
    with mock.patch.dict(sys.modules, {"torch": make()}):
        yield sys.modules["torch"]


@contextmanager
def absent():
    """No torch, also where there is one."""
    with mock.patch.dict(sys.modules, {"torch": None}):
        yield


def real():
    """The real torch, or None."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None
