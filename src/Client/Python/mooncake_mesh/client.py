# SPDX-License-Identifier: Apache-2.0
"""The client."""

from __future__ import annotations

import ctypes as c
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ._bindings import WAIT_MS, functions, last_error, run, take
from ._memory import Held, Key, hold_all, key_arrays, key_bytes, pointers, sizes_of
from .errors import NOT_FOUND, error
from .options import Location, PutOptions, Stream, get_options, put_options
from .view import MappedView

Option = Union[str, int, float, bool, Sequence[str], None]


def open(**options: Option) -> "Mesh":  # noqa: A001, as builtins.open
    """Opens a client: Mesh(nodes="10.0.0.7:7300"); the options are those of mooncake_mesh_open."""
    return Mesh(**options)


class Mesh:
    """A client of a mesh, or with segment_size a node of it. Any number of threads may use one."""

    def __init__(self, **options: Option) -> None:
        self._native = functions()
        handle = c.c_void_p()
        # In slices, so that Ctrl-C ends a call.
        given = {"slice_ms": WAIT_MS, **{k: v if isinstance(v, (bool, int)) else _text(v) for k, v in options.items()
                                         if v is not None}}
        self._check(run(self._native, self._native.open, json.dumps(given).encode(), c.byref(handle)))
        self._handle: Optional[int] = handle.value

    def close(self) -> None:
        """Closes it; calls under way are given up and waited for."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle is not None:
            self._native.close(handle)

    def __enter__(self) -> "Mesh":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    # ---- one object

    def put(self, key: Key, value: Any, options: Optional[PutOptions] = None, *, stream: Stream = None) -> None:
        """Puts any buffer, array or tensor. A key that has an object keeps it, unless options.replace says else.

        Of a GPU's memory it is read when the work that is on the stream so far is done; None: at once.
        """
        key = key_bytes(key)
        native, _held = put_options(options, 1, stream)
        if type(value) is bytes:
            self._call(self._native.put, key, len(key), value, len(value), native)
        else:
            held = Held(value, False)
            self._call(self._native.put, key, len(key), held.address, held.size, native)

    def put_parts(self, key: Key, parts: Sequence[Any], options: Optional[PutOptions] = None, *,
                  stream: Stream = None) -> None:
        """Puts the parts, one after the other, as one object."""
        key, held = key_bytes(key), hold_all(parts, False)
        native, _held = put_options(options, 1, stream)
        self._call(self._native.put_parts, key, len(key), pointers([h.address for h in held]),
                   sizes_of([h.size for h in held]), len(held), native)

    def get(self, key: Key) -> bytes:
        """The object; NotFound when there is none."""
        key = key_bytes(key)
        data, size = c.c_void_p(), c.c_size_t()
        self._call(self._native.get, key, len(key), c.byref(data), c.byref(size))
        return take(self._native, data, size.value)

    def get_into(self, key: Key, buffer: Any, *, stream: Stream = None) -> int:
        """The object's size; the bytes go into a writable buffer, array or tensor, all of them or none.

        A GPU's memory is written when the work that is on the stream so far is done, and what is put on it after the
        call sees the bytes; None: at once.
        """
        key, held = key_bytes(key), Held(buffer, True)
        return self._call(self._native.get_into_with, key, len(key), held.address, held.size, get_options(stream))

    def get_parts(self, key: Key, buffers: Sequence[Any], *, stream: Stream = None) -> int:
        """The same, into several buffers filled one after the other."""
        key, held = key_bytes(key), hold_all(buffers, True)
        return self._call(self._native.get_parts_with, key, len(key), pointers([h.address for h in held]),
                          sizes_of([h.size for h in held]), len(held), get_options(stream))

    def get_range(self, key: Key, offset: int, buffer: Any, *, stream: Stream = None) -> int:
        """Fills the buffer from offset on; InvalidArgument where the object ends before."""
        key, held = key_bytes(key), Held(buffer, True)
        if offset < 0:
            raise ValueError(f"offset is {offset}")
        return self._call(self._native.get_range_with, key, len(key), offset, held.address, held.size,
                          get_options(stream))

    def view(self, key: Key, verify: bool = True) -> MappedView:
        """The object where it lies, without a copy; Unavailable where no node of this host lends it."""
        key = key_bytes(key)
        view, data, size = c.c_void_p(), c.c_void_p(), c.c_size_t()
        self._call(self._native.view_open, key, len(key), int(verify), c.byref(view), c.byref(data), c.byref(size))
        return MappedView(self._native, view.value or 0, data.value or 0, size.value)

    def size(self, key: Key) -> int:
        """Bytes of the object."""
        key = key_bytes(key)
        return self._call(self._native.get_size, key, len(key))

    def exists(self, key: Key) -> bool:
        """Whether there is one. Looking does not keep it from being evicted."""
        key = key_bytes(key)
        return self._call(self._native.exists, key, len(key)) == 1

    __contains__ = exists

    def remove(self, key: Key) -> bool:
        """Removes it; False when there was none."""
        key = key_bytes(key)
        code = self._result(self._native.remove, key, len(key))
        return code != NOT_FOUND and self._check(code) == 0

    def remove_matching(self, pattern: str) -> int:
        """Removes every object whose key the regular expression matches anywhere; how many."""
        return self._call(self._native.remove_by_regex, pattern.encode())

    def remove_all(self) -> int:
        """Removes everything; how many copies there were."""
        return self._call(self._native.remove_all)

    # ---- batches: a result for each position, a negative code where it failed

    def put_batch(self, keys: Sequence[Key], values: Sequence[Any],
                  options: Optional[PutOptions] = None, *, stream: Stream = None) -> List[int]:
        """Puts many: 0 or a code for each."""
        held = hold_all(values, False)
        native, _held = put_options(options, len(keys), stream)
        return self._batch(self._native.put_batch, keys, (
            pointers([h.address for h in held]), sizes_of([h.size for h in held])), held, (native,))

    def get_batch_into(self, keys: Sequence[Key], buffers: Sequence[Any], *, stream: Stream = None) -> List[int]:
        """Gets many: size or a code for each."""
        held = hold_all(buffers, True)
        arrays = (pointers([h.address for h in held]), sizes_of([h.size for h in held]))
        return self._batch(self._native.get_batch_with, keys, arrays, held, (get_options(stream),))

    def exists_batch(self, keys: Sequence[Key]) -> List[int]:
        """1, 0 or a code for each."""
        return self._batch(self._native.exists_batch, keys)

    def size_batch(self, keys: Sequence[Key]) -> List[int]:
        """Size or a code for each."""
        return self._batch(self._native.get_size_batch, keys)

    def remove_batch(self, keys: Sequence[Key]) -> List[int]:
        """0 or a code for each."""
        return self._batch(self._native.remove_batch, keys)

    def match_prefix(self, keys: Sequence[Key]) -> int:
        """How many keys from the start of a chain of blocks are all there."""
        encoded = [key_bytes(key) for key in keys]
        names, lengths = key_arrays(encoded)
        return self._call(self._native.match_prefix, names, lengths, len(encoded), None)

    def locate(self, keys: Sequence[Key]) -> List[Location]:
        """Where objects are."""
        encoded = [key_bytes(key) for key in keys]
        names, lengths = key_arrays(encoded)
        found = json.loads(self._json(self._native.locate_batch, names, lengths, len(encoded)))
        return [Location(one["size"], one["copies"], tuple(one["nodes"])) for one in found]

    # ---- the client itself

    @property
    def hostname(self) -> str:
        """The client's name, host:port."""
        buffer = c.create_string_buffer(1024)
        self._call(self._native.hostname, buffer, len(buffer))
        return buffer.value.decode()

    def health(self) -> None:
        """Raises Unavailable unless a node answers."""
        self._call(self._native.health)

    def status(self, node: Optional[str] = None) -> Dict[str, Any]:
        """Status of a node: by id, endpoint or host name, or the first that answers."""
        return json.loads(self._json(self._native.status, None if node is None else node.encode()))

    # ---- calls

    def _json(self, function: Any, *arguments: Any) -> bytes:
        data, size = c.c_void_p(), c.c_size_t()
        self._call(function, *arguments, c.byref(data), c.byref(size))
        return take(self._native, data, size.value)

    def _batch(self, function: Any, keys: Sequence[Key], arrays: Tuple[Any, ...] = (),
               held: Optional[List[Held]] = None, options: Tuple[Any, ...] = ()) -> List[int]:
        if held is not None and len(held) != len(keys):
            raise ValueError(f"{len(keys)} keys and {len(held)} values")
        encoded = [key_bytes(key) for key in keys]
        names, lengths = key_arrays(encoded)
        results = (c.c_int64 * len(encoded))()
        self._call(function, names, lengths, *arrays, len(encoded), *options, results)
        return list(results)

    def _result(self, function: Any, *arguments: Any) -> int:
        return run(self._native, function, self._handle, *arguments)

    def _call(self, function: Any, *arguments: Any) -> int:
        code = run(self._native, function, self._handle, *arguments)
        return code if code >= 0 else self._check(code)

    def _check(self, code: int) -> int:
        if code < 0:
            raise error(code, last_error())
        return code


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(value)


__all__: "List[str]" = ["Mesh", "open"]
