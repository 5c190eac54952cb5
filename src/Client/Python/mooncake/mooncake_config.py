# SPDX-License-Identifier: Apache-2.0
"""Settings from a JSON file (MOONCAKE_CONFIG_PATH) or from MOONCAKE_* variables."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Mapping

from ._setup import size_of

_SEGMENT = 3355443200
_BUFFER = 1073741824


@dataclass
class MooncakeConfig:
    """What setup takes."""

    local_hostname: str
    metadata_server: str
    global_segment_size: int
    local_buffer_size: int
    protocol: str
    device_name: str
    master_server_address: str

    @staticmethod
    def from_file(file_path: str) -> "MooncakeConfig":
        """Reads the file."""
        with open(file_path, encoding="utf-8") as file:
            return _of(json.load(file))

    @staticmethod
    def load_from_env() -> "MooncakeConfig":
        """Reads the file that MOONCAKE_CONFIG_PATH names, or the variables."""
        path = os.environ.get("MOONCAKE_CONFIG_PATH")
        if path:
            return MooncakeConfig.from_file(path)
        if not os.environ.get("MOONCAKE_MASTER"):
            raise ValueError("neither MOONCAKE_CONFIG_PATH nor MOONCAKE_MASTER is set")
        names = {
            "local_hostname": "MOONCAKE_LOCAL_HOSTNAME", "metadata_server": "MOONCAKE_TE_META_DATA_SERVER",
            "global_segment_size": "MOONCAKE_GLOBAL_SEGMENT_SIZE", "local_buffer_size": "MOONCAKE_LOCAL_BUFFER_SIZE",
            "protocol": "MOONCAKE_PROTOCOL", "device_name": "MOONCAKE_DEVICE",
            "master_server_address": "MOONCAKE_MASTER"}
        return _of({key: os.environ[name] for key, name in names.items() if os.environ.get(name)})


def _of(given: Mapping[str, Any]) -> MooncakeConfig:
    return MooncakeConfig(
        local_hostname=given.get("local_hostname", "localhost"),
        metadata_server=given.get("metadata_server", "P2PHANDSHAKE"),
        global_segment_size=size_of(given.get("global_segment_size", _SEGMENT), "global_segment_size"),
        local_buffer_size=size_of(given.get("local_buffer_size", _BUFFER), "local_buffer_size"),
        protocol=given.get("protocol", "tcp"), device_name=given.get("device_name", ""),
        master_server_address=given.get("master_server_address", ""))
