# SPDX-License-Identifier: Apache-2.0
"""A store's connection: set up, closed, set up again."""

from __future__ import annotations

import ctypes as c
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mooncake_mesh import Mesh, MeshError
from mooncake_mesh._bindings import PENDING, WAIT_MS, functions
from mooncake_mesh._memory import key_bytes

from . import _environment, _setup
from ._codes import INVALID_PARAMS, NO_SPACE, NOT_FOUND
from ._registered import RegisteredMemory, address
from .config import ReplicateConfig, code_of, options_of
from .pool_memory import PoolMemory

_DEFAULT = ReplicateConfig()


class Session:
    """What every group of calls stands on."""

    def __init__(self) -> None:
        self._native = functions()
        self._mesh: Optional[Mesh] = None
        # No mesh: NULL, to which the library answers BAD_HANDLE.
        self._handle: Optional[int] = None
        self._memory = RegisteredMemory()
        self._options: Dict[str, Any] = {}
        self._has_local_buffer = True
        self._segments: Dict[str, Mesh] = {}
        self._pool = PoolMemory(0)

    # ---- life

    def setup(self, *arguments: Any, **named: Any) -> int:
        """0, or a code; takes a dict, or the arguments of _setup_named."""
        if len(arguments) == 1 and not named and isinstance(arguments[0], dict):
            return self._setup_dict(arguments[0])
        if not arguments and list(named) == ["config"]:
            return self._setup_dict(named["config"])
        return self._setup_named(*arguments, **named)

    def _setup_dict(self, config: Dict[str, Any]) -> int:
        try:
            given = _setup.from_dict(config)
        except _setup.Refused as refused:
            _setup.log.error("setup: %s", refused)
            return INVALID_PARAMS
        return self._open(given)

    def _setup_named(self, local_hostname: str, metadata_server: str, global_segment_size: int,
                     local_buffer_size: int, protocol: str, rdma_devices: str, master_server_addr: str,
                     engine: Any = None, enable_ssd_offload: bool = False, ssd_offload_path: str = "",
                     tenant_id: str = "default", enable_client_http_server: bool = False,
                     client_http_port: int = 9300) -> int:
        texts = {"local_hostname": local_hostname, "metadata_server": metadata_server, "protocol": protocol,
                 "rdma_devices": rdma_devices, "master_server_addr": master_server_addr,
                 "ssd_offload_path": ssd_offload_path, "tenant_id": tenant_id}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise TypeError(f"{name} is a str, not {type(text).__name__}")
        address(client_http_port)
        del texts["ssd_offload_path"]
        if enable_client_http_server:
            _setup.notice("enable_client_http_server has no effect: mooncake-mesh serve answers /health and /metrics")
        return self._open({**texts, "global_segment_size": address(global_segment_size),
                           "local_buffer_size": address(local_buffer_size),
                           "enable_ssd_offload": bool(enable_ssd_offload)})

    def init_all(self, protocol: str, device_name: str, mount_segment_size: int = 16 << 20) -> int:
        """The same, by the environment. Deprecated."""
        from .mooncake_config import MooncakeConfig
        known = MooncakeConfig.load_from_env()
        return self._setup_named(known.local_hostname, known.metadata_server, mount_segment_size, 16 << 20, protocol,
                                 device_name, known.master_server_address)

    def setup_dummy(self, mem_pool_size: int, local_buffer_size: int, server_address: str) -> int:
        """A client of the node at server_address, with memory for alloc_from_mem_pool that is registered already."""
        pool_size = address(mem_pool_size)
        code = self._setup_named("localhost", "P2PHANDSHAKE", 0, local_buffer_size, "auto", "", server_address)
        if code or not pool_size:
            return code
        pool = PoolMemory(pool_size)
        code = self.register_buffer(pool.start, pool.size) if pool.size else NO_SPACE
        if code:
            pool.free()
            self.close()
            return code
        self._pool = pool
        return 0

    def alloc_from_mem_pool(self, size: int) -> int:
        """Address of so many bytes of setup_dummy's pool; 0 where they are not there."""
        return self._pool.take(address(size))

    def _open(self, given: Dict[str, Any]) -> int:
        self.close()
        local_buffer = given.pop("local_buffer_size")
        try:
            options = _environment.apply(_setup.options(local_buffer_size=local_buffer, **given))
            mesh = Mesh(**options)
        except _setup.Refused as refused:
            _setup.log.error("setup: %s", refused)
            return INVALID_PARAMS
        except MeshError as failure:
            _setup.log.error("setup: %s", failure)
            return failure.code
        self._options, self._has_local_buffer = options, local_buffer > 0
        self._mesh, self._handle = mesh, mesh._handle
        return 0

    def close(self) -> int:
        """0; also when it was never set up. What this process contributed goes with it."""
        mesh, self._mesh, self._handle = self._mesh, None, None
        segments, self._segments = self._segments, {}
        for segment in segments.values():
            segment.close()
        if mesh is not None:
            mesh.close()
        self._memory.clear()
        # After the calls under way have let go of it.
        pool, self._pool = self._pool, PoolMemory(0)
        pool.free()
        return 0

    tearDownAll = close

    def __del__(self) -> None:
        if hasattr(self, "_pool"):
            self.close()

    def health_check(self) -> int:
        """0: a node answers; 1: not set up; 2: no node answers."""
        if self._mesh is None:
            return 1
        return 0 if self._result(self._native.health) == 0 else 2

    def get_hostname(self) -> str:
        """host:port; "" before setup."""
        mesh = self._mesh
        return mesh.hostname if mesh is not None else ""

    # ---- memory

    def register_buffer(self, buffer_ptr: int, size: int) -> int:
        """Says that objects may be moved from and to this memory."""
        start, length = address(buffer_ptr), address(size)
        if length and self._pool.contains(start, length):
            return 0
        code = self._memory.add(start, length) if self._handle else INVALID_PARAMS
        if code == 0:
            code = self._result(self._native.register_buffer, start, length)
            if code != 0:
                self._memory.remove(start)
        return code

    def unregister_buffer(self, buffer_ptr: int) -> int:
        """The reverse."""
        start = address(buffer_ptr)
        if self._pool.contains(start, 1):
            return 0
        code = self._memory.remove(start)
        return code if code != 0 else self._result(self._native.unregister_buffer, start)

    # ---- calls

    def _result(self, function: Any, *arguments: Any) -> int:
        handle = self._handle
        if handle is None:
            return INVALID_PARAMS
        # As run() of the bindings; written out, as every call comes by here.
        native = self._native
        try:
            code = function(handle, *arguments)
            while code == PENDING:
                code = native.wait(WAIT_MS)
            return code
        except BaseException:
            native.cancel()
            raise

    def _put_options(self, config: Any, count: int, replace: bool) -> "Tuple[int, Any, Any]":
        """A code, the native options or None for the plain ones, and what must outlive the call."""
        if config is None:
            if not replace:
                return 0, None, None
            config = _DEFAULT
        code = code_of(config, count)
        if code:
            return code, None, None
        names = list(config.preferred_segments) or ([config.preferred_segment] if config.preferred_segment else [])
        options, groups = options_of(config, self._preferred(names), replace).native(count)
        return 0, c.byref(options), (options, groups)

    def _preferred(self, names: Sequence[str]) -> str:
        """The first of several nodes that is there; one alone is left to the library."""
        if len(names) == 1:
            return names[0]
        for name in names:
            data, size = c.c_void_p(), c.c_size_t()
            if self._result(self._native.status, name.encode(), c.byref(data), c.byref(size)) >= 0:
                self._native.free(data)
                return name
        return ""

    def _batch(self, function: Any, keys: Sequence[Any], *arrays: Any, options: Any = ()) -> List[int]:
        """One result for each key; a failure of the whole call is the failure of each."""
        encoded = [store_key(key) for key in keys]
        count = len(encoded)
        results = (c.c_int64 * count)()
        code = self._result(function, (c.c_char_p * count)(*encoded), (c.c_size_t * count)(*map(len, encoded)),
                            *arrays, count, *([] if options == () else [options]), results)
        return list(results) if code >= 0 else [code] * count

    def _objects(self) -> int:
        """How many objects the nearest node has; 0 where it does not say."""
        data, size = c.c_void_p(), c.c_size_t()
        if self._result(self._native.status, None, c.byref(data), c.byref(size)) < 0:
            return 0
        try:
            return json.loads(c.string_at(data, size.value)).get("memory", {}).get("objects", 0)
        finally:
            self._native.free(data)

    def _locate(self, keys: Sequence[str]) -> List[Dict[str, Any]]:
        encoded = [store_key(key) for key in keys]
        count = len(encoded)
        data, size = c.c_void_p(), c.c_size_t()
        code = self._result(self._native.locate_batch, (c.c_char_p * count)(*encoded),
                            (c.c_size_t * count)(*map(len, encoded)), count, c.byref(data), c.byref(size))
        if code < 0:
            return [{"size": NOT_FOUND, "copies": 0, "nodes": []}] * count
        try:
            return json.loads(c.string_at(data, size.value))
        finally:
            self._native.free(data)


def store_key(key: Any) -> bytes:
    """A key; the TypeError is that of a call with wrong arguments."""
    return key.encode() if type(key) is str else key_bytes(key)
