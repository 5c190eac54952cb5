# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio: each call on a thread, while the event loop runs on."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Awaitable, Callable

from .client import Mesh, Option

_CALLS = frozenset((
    "put", "put_parts", "get", "get_into", "get_parts", "get_range", "view", "size", "exists", "remove",
    "remove_matching", "remove_all", "put_batch", "get_batch_into", "exists_batch", "size_batch", "remove_batch",
    "match_prefix", "locate", "health", "status"))


class AsyncMesh:
    """Mesh, with each call awaited. A call that is cancelled goes on by itself, and holds its buffers until then."""

    def __init__(self, mesh: Mesh, threads: int = 8) -> None:
        self._mesh = mesh
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="mooncake-mesh")

    @classmethod
    async def open(cls, threads: int = 8, **options: Option) -> "AsyncMesh":
        """Opens a client; threads is how many calls may run at once."""
        loop = asyncio.get_running_loop()
        return cls(await loop.run_in_executor(None, partial(Mesh, **options)), threads)

    def __getattr__(self, name: str) -> "Callable[..., Awaitable[Any]]":
        if name not in _CALLS:
            raise AttributeError(name)
        return partial(self._run, getattr(self._mesh, name))

    async def _run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *arguments, **named))

    async def close(self) -> None:
        """Closes it."""
        await asyncio.get_running_loop().run_in_executor(None, self._mesh.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> "AsyncMesh":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
