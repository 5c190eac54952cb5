# SPDX-License-Identifier: Apache-2.0
"""What Mooncake has and a mesh has not, tables of embeddings and NVMe over fabrics: names that answer -1012."""

from __future__ import annotations

from typing import Any, List

from ._codes import NOT_SUPPORTED


class EngramStoreConfig:
    """The sizes of an engram's tables."""

    def __init__(self) -> None:
        self.table_vocab_sizes: List[int] = []
        self.embedding_dim = 0


class EngramStore:
    """Tables of embeddings in a store; every call answers -1012."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        del arguments, named

    def get_num_heads(self) -> int:
        """-1012."""
        return NOT_SUPPORTED

    get_embedding_dim = get_num_heads

    def populate(self, *arguments: Any, **named: Any) -> int:
        """-1012."""
        del arguments, named
        return NOT_SUPPORTED

    lookup = remove_from_store = get_table_vocab_sizes = get_store_keys = populate


class MooncakeDistributedNoFRegister:
    """Registers devices of NVMe over fabrics; every call answers -1012."""

    def setup(self, *arguments: Any, **named: Any) -> int:
        """-1012."""
        del arguments, named
        return NOT_SUPPORTED

    mount_segment = unmount_segment = setup

    def close(self) -> int:
        """0: there is nothing to close."""
        return 0
