# SPDX-License-Identifier: Apache-2.0
"""Finds libmooncake_mesh and loads it, once, on first use."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Optional

VARIABLE = "MOONCAKE_MESH_LIBRARY"
_NAMES = ("libmooncake_mesh.so", "libmooncake_mesh.so.0")
# Folders beside this file with a library for the processors that have all of these.
_LEVELS = {"x86-64-v4": frozenset(("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"))}

_lock = threading.Lock()
_library: Optional[ctypes.CDLL] = None


def candidates() -> "list[str]":
    """Where it may be: the one that the environment names alone, else beside this file, else the system's loader."""
    named = os.environ.get(VARIABLE)
    if named:
        return [named]
    folder = os.path.dirname(os.path.abspath(__file__))
    has = processor()
    special = [os.path.join(folder, level, _NAMES[0]) for level, needed in _LEVELS.items() if needed <= has]
    return [path for path in special if os.path.exists(path)] + [
        os.path.join(folder, name) for name in _NAMES] + list(_NAMES)


def processor(path: str = "/proc/cpuinfo") -> "frozenset[str]":
    """What the processor can do, as the kernel names it; nothing where it does not say."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            found = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(found.partition(":")[2].split())


def load() -> ctypes.CDLL:
    """The library; ImportError says where it was looked for."""
    global _library
    if _library is None:
        with _lock:
            if _library is None:
                _library = _open()
    return _library


def _open() -> ctypes.CDLL:
    failures = []
    for path in candidates():
        try:
            # CDLL lets other threads of Python run during a call.
            return ctypes.CDLL(path)
        except OSError as failure:
            failures.append(str(failure))
    raise ImportError(f"libmooncake_mesh was not found ({VARIABLE} names one): " + "; ".join(failures))
