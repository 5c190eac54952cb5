# SPDX-License-Identifier: Apache-2.0
"""Tensors as objects: what is said of one, then its elements. torch is needed by what returns one, and nothing else."""

from .calls import TensorCalls
from .layout import SIZE, Layout, NotATensor
from .memory import deserialize, serialize
from .parallelism import ParallelAxis, ReadTarget, TensorParallelism

__all__ = ["SIZE", "Layout", "NotATensor", "ParallelAxis", "ReadTarget", "TensorCalls", "TensorParallelism",
           "deserialize", "serialize"]
