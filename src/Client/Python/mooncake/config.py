# SPDX-License-Identifier: Apache-2.0
"""What a put asks for, in Mooncake's words."""

from __future__ import annotations

import enum
import operator
from typing import Any, Dict, List, Optional

from mooncake_mesh.options import PutOptions

from ._codes import INVALID_PARAMS, NOT_SUPPORTED


class SoftPinAction(enum.IntEnum):
    """What becomes of a soft pin."""

    PRESERVE = 0
    ENABLE = 1
    DISABLE = 2


class ObjectDataType(enum.IntEnum):
    """What the bytes are; noted, and without effect."""

    UNKNOWN = 0
    KVCACHE = 1
    TENSOR = 2
    WEIGHT = 3
    SAMPLE = 4
    ACTIVATION = 5
    GRADIENT = 6
    OPTIMIZER_STATE = 7
    METADATA = 8
    GENERAL = 9


def _count(value: Any) -> int:
    if isinstance(value, float):
        raise TypeError("an int is needed, not float")
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise TypeError(f"{number} does not fit 64 bits without a sign")
    return number


def _optional_count(value: Any) -> Optional[int]:
    return None if value is None else _count(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"a bool is needed, not {type(value).__name__}")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a str is needed, not {type(value).__name__}")
    return value


def _names(value: Any) -> List[str]:
    if isinstance(value, (str, bytes)):
        raise TypeError("a list of str is needed")
    return [_name(one) for one in value]


def _optional_names(value: Any) -> Optional[List[str]]:
    return None if value is None else _names(value)


def _of(kind: type) -> Any:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{kind.__name__} is needed, not {type(value).__name__}")
        return value
    return check


_FIELDS = {
    "replica_num": (1, _count),
    "nof_replica_num": (0, _count),
    "dfs_replica_num": (0, _count),
    "soft_pin_action": (SoftPinAction.PRESERVE, _of(SoftPinAction)),
    "soft_pin_ttl_ms": (None, _optional_count),
    "with_hard_pin": (False, _flag),
    "preferred_segments": ((), _names),
    "preferred_segment": ("", _name),
    "preferred_nof_segments": ((), _names),
    "prefer_alloc_in_same_node": (False, _flag),
    "data_type": (ObjectDataType.UNKNOWN, _of(ObjectDataType)),
    "group_ids": (None, _optional_names),
}
# Set by connectors that were written for older versions, where it was the way to ask for a soft pin.
_OLD = {"with_soft_pin": _flag}


class ReplicateConfig:
    """How many copies, where, and how they are kept."""

    def __init__(self) -> None:
        for name, (value, _) in _FIELDS.items():
            object.__setattr__(self, name, list(value) if isinstance(value, tuple) else value)

    def __setattr__(self, name: str, value: Any) -> None:
        check = _FIELDS[name][1] if name in _FIELDS else _OLD.get(name)
        if check is None:
            raise AttributeError(f"ReplicateConfig has no {name}")
        object.__setattr__(self, name, check(value))

    def __str__(self) -> str:
        fields: Dict[str, Any] = vars(self)
        return "ReplicateConfig: { " + ", ".join(f"{name}: {value}" for name, value in fields.items()) + " }"

    __repr__ = __str__


def code_of(config: ReplicateConfig, count: int) -> int:
    """Why this cannot be asked for so many values, or 0."""
    if not isinstance(config, ReplicateConfig):
        raise TypeError(f"config is a ReplicateConfig, not {type(config).__name__}")
    if config.nof_replica_num or config.dfs_replica_num or config.preferred_nof_segments:
        return NOT_SUPPORTED
    enabled = config.soft_pin_action == SoftPinAction.ENABLE
    if config.soft_pin_ttl_ms is not None and not enabled:
        return INVALID_PARAMS
    if config.group_ids is not None and len(config.group_ids) != count:
        return INVALID_PARAMS
    return 0 if 1 <= config.replica_num <= 64 else INVALID_PARAMS


def options_of(config: ReplicateConfig, preferred: str, replace: bool) -> PutOptions:
    """As options of the mesh."""
    soft = config.soft_pin_action == SoftPinAction.ENABLE or getattr(config, "with_soft_pin", False)
    return PutOptions(
        replicas=config.replica_num, pin="hard" if config.with_hard_pin else "soft" if soft else "none",
        replace=replace, preferred_node=preferred, groups=config.group_ids)
