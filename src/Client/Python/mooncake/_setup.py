# SPDX-License-Identifier: Apache-2.0
"""What Mooncake's setup becomes: options of mooncake_mesh_open."""

from __future__ import annotations

import logging
import re
from typing import Any, Dict, Mapping

log = logging.getLogger("mooncake.store")

_LEAST = 1024
_MOST_LOCAL = 1 << 40
_DEFAULT = 16 << 20
_POWERS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_seen: "set[str]" = set()


class Refused(ValueError):
    """An argument that cannot be."""


def notice(text: str) -> None:
    """Says something once a process."""
    if text not in _seen:
        _seen.add(text)
        log.warning(text)


def size_of(value: Any, name: str) -> int:
    """A size as a number, or as text: 16777216, "16MB", "16 MB"."""
    found = re.fullmatch(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", str(value), re.IGNORECASE)
    if not found:
        raise Refused(f"{name} is {value!r}; write 16MB or plain bytes")
    return int(found[1]) << _POWERS[found[2].upper()]


def from_dict(config: Mapping[str, Any]) -> Dict[str, Any]:
    """The arguments in a dict; keys that nobody knows are not looked at."""
    for name in ("local_hostname", "metadata_server"):
        if name not in config:
            raise Refused(f"the configuration has no {name}")
    return {
        "local_hostname": str(config["local_hostname"]),
        "metadata_server": str(config["metadata_server"]),
        "global_segment_size": size_of(config.get("global_segment_size", _DEFAULT), "global_segment_size"),
        "local_buffer_size": size_of(config.get("local_buffer_size", _DEFAULT), "local_buffer_size"),
        "protocol": str(config.get("protocol", "tcp")),
        "rdma_devices": str(config.get("rdma_devices", "")),
        "master_server_addr": str(config.get("master_server_addr", "127.0.0.1:50051")),
        "enable_ssd_offload": str(config.get("enable_ssd_offload", "false")).lower() in ("true", "1", "yes", "on"),
        "tenant_id": str(config.get("tenant_id", "default")),
    }


def options(local_hostname: str, metadata_server: str, global_segment_size: int, local_buffer_size: int,
            protocol: str, rdma_devices: str, master_server_addr: str, enable_ssd_offload: bool = False,
            tenant_id: str = "default") -> Dict[str, Any]:
    """The options of mooncake_mesh_open."""
    for name, size in (("global_segment_size", global_segment_size), ("local_buffer_size", local_buffer_size)):
        if size and size < _LEAST:
            raise Refused(f"{name} is {size}; 0, or {_LEAST} and more are legal")
    if local_buffer_size > _MOST_LOCAL:
        raise Refused(f"local_buffer_size is {local_buffer_size}; up to {_MOST_LOCAL} are legal")
    if enable_ssd_offload:
        notice("enable_ssd_offload has no effect: objects are kept in memory alone")
    if tenant_id not in ("", "default"):
        notice("tenant_id has no effect: MOONCAKE_MESH_CLUSTER names a mesh of its own")
    etcd = nodes = None
    if master_server_addr.lower().startswith("etcd://"):
        etcd = master_server_addr
    else:
        nodes = master_server_addr.replace(";", ",") or None
    if etcd is None:
        if metadata_server.lower().startswith("etcd://") or (":" in metadata_server and "/" not in metadata_server):
            etcd = metadata_server
        elif "://" in metadata_server:
            notice(f"metadata_server {metadata_server} is not used: nodes find each other by etcd")
    if protocol not in ("tcp", "rdma", "shm", "auto", ""):
        raise Refused(f"protocol is {protocol!r}; tcp, rdma, shm and auto are legal")
    return {
        "hostname": local_hostname or "localhost", "nodes": nodes,
        "etcd_endpoints": etcd.replace("etcd://", "") if etcd else None,
        "transport": protocol or "auto",
        "rdma_devices": rdma_devices or None, "segment_size": global_segment_size or None,
    }
