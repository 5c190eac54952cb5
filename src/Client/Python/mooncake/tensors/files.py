# SPDX-License-Identifier: Apache-2.0
"""Tensors to and from files of safetensors: the length of a JSON header, the header, the elements."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Optional

from .._codes import FILE_NOT_FOUND, INVALID_PARAMS
from .layout import SIZE, Layout, NotATensor, number_of
from .memory import torch, view
from .parallel_calls import ParallelCalls
from .writes import log

_MOST_HEADER = 100 << 20
_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


class TensorFiles(ParallelCalls):
    """Files; no package is needed for them."""

    def save_tensor_to_safetensor(self, key: str, file_name: Optional[str] = None) -> int:
        """0; -1100 where the key has no tensor; -600 where the file cannot be written. The key names the file else."""
        handle = self.get_buffer(key)
        try:
            layout = None if handle is None else Layout.parse(memoryview(handle), len(handle))
        except NotATensor:
            layout = None
        if handle is None or layout is None:
            return FILE_NOT_FOUND
        header = json.dumps({key: {"dtype": _NAMES[layout.type_name], "shape": list(layout.shape),
                                   "data_offsets": [0, layout.bytes]}}).encode()
        header += b" " * (-len(header) % 8)
        try:
            with open(key if file_name is None else file_name, "wb") as file:
                file.write(struct.pack("<Q", len(header)) + header)
                file.write(memoryview(handle).cast("B")[SIZE:SIZE + layout.bytes])
        except OSError as failure:
            log.error("save_tensor_to_safetensor: %s", failure)
            return INVALID_PARAMS
        return 0

    def load_tensor_from_safetensor(self, key: Optional[str] = None, file_name: Optional[str] = None) -> Optional[Any]:
        """Puts the tensor of that name, or the first, under the key, or under the file's name; the tensor, or None."""
        if file_name is None:
            raise TypeError("file_name is needed")
        torch()
        try:
            data = _read(os.fspath(file_name), key)
            layout = Layout.parse(data, len(data))
        except (OSError, ValueError, KeyError, TypeError) as failure:
            log.error("load_tensor_from_safetensor: %s", failure)
            return None
        tensor = view(data, layout)
        name = key if key is not None else os.fspath(file_name)
        return tensor if self._put_tensor(self._whole(name, tensor)) == 0 else None


def _read(path: str, key: Optional[str]) -> bytearray:
    """A header of ours and the elements."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))[0]
        if size > _MOST_HEADER:
            raise ValueError(f"{path} is no file of safetensors")
        tensors = {name: one for name, one in json.loads(file.read(size)).items() if name != "__metadata__"}
        if not tensors:
            raise ValueError(f"{path} has no tensors")
        if key is not None and key not in tensors:
            log.warning("%s has no tensor %s: the first is taken", path, key)
        found = tensors.get(key) or next(iter(tensors.values()))
        begin, end = found["data_offsets"]
        shape = tuple(found["shape"])
        data = bytearray(Layout(number_of(_TYPES[found["dtype"]]), shape, shape).pack())
        file.seek(8 + size + begin)
        return data + file.read(end - begin)
