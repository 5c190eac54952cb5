# SPDX-License-Identifier: Apache-2.0
"""Mooncake's MC_* variables: those that mean something here, and those that do not."""

from __future__ import annotations

import logging
import os
from typing import Any, Dict, Mapping

from ._setup import notice

_LEVELS = {"TRACE": logging.DEBUG, "INFO": logging.INFO, "WARNING": logging.WARNING, "ERROR": logging.ERROR}
# Each is a setting of the nodes, whose cards send.
_OF_NODES = {
    "MC_GID_INDEX": "rdma.gidIndex", "MC_IB_PORT": "rdma.port", "MC_IB_TC": "rdma.trafficClass",
    "MC_IB_SL": "rdma.serviceLevel", "MC_IB_PCI_RELAXED_ORDERING": "rdma.relaxedOrdering",
    "MC_CUSTOM_TOPO_JSON": "rdma.topology", "MC_TCP_BIND_ADDRESS": "listen"}
_OURS = {"cluster": "MOONCAKE_MESH_CLUSTER", "get_timeout_ms": "MOONCAKE_MESH_GET_TIMEOUT_MS",
         "put_timeout_ms": "MOONCAKE_MESH_PUT_TIMEOUT_MS"}


def forces_tcp(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether MC_FORCE_TCP is set, to whatever, as Mooncake takes it."""
    return bool(environment.get("MC_FORCE_TCP"))


def apply(options: Dict[str, Any], environment: Mapping[str, str] = os.environ) -> Dict[str, Any]:
    """The options with what the environment says; variables of ours go before Mooncake's."""
    given: Dict[str, Any] = {}
    if environment.get("MC_STORE_CLUSTER_ID"):
        given["cluster"] = environment["MC_STORE_CLUSTER_ID"]
    seconds = environment.get("MC_TRANSFER_TIMEOUT", "")
    if seconds.isdecimal() and int(seconds) > 0:
        given["get_timeout_ms"] = given["put_timeout_ms"] = 1000 * int(seconds)
    elif seconds:
        notice(f"MC_TRANSFER_TIMEOUT is {seconds!r} and has no effect; write seconds")
    for name, ours in _OURS.items():
        if environment.get(ours):
            given.pop(name, None)
    if forces_tcp(environment):
        given["transport"] = "tcp"
    level = _LEVELS.get(environment.get("MC_LOG_LEVEL", "").upper())
    if level is not None:
        logging.getLogger("mooncake").setLevel(level)
    for name, setting in _OF_NODES.items():
        if environment.get(name):
            notice(f"{name} has no effect here: it is a node's setting, {setting}")
    return {**options, **given}
