# SPDX-License-Identifier: Apache-2.0
"""mooncake.async_store: the store with async_* forms of its calls, each on a thread."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from .store import MooncakeDistributedStore


class MooncakeDistributedStoreAsync(MooncakeDistributedStore):
    """async_put is put, awaited; so for every call."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("async_") or name.startswith("async__"):
            raise AttributeError(name)
        function = getattr(type(self), name[len("async_"):], None)
        if function is None:
            raise AttributeError(name)

        async def call(*arguments: Any, **named: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, partial(function, self, *arguments, **named))

        call.__name__ = name
        return call
