# SPDX-License-Identifier: Apache-2.0
"""Says when keys can never match: made by hash() in processes that were not given the same PYTHONHASHSEED."""

from __future__ import annotations

import os
from typing import Callable, Mapping, Sequence

from ._setup import log

ENOUGH = 1000
_MOST_OWN = 65536

WARNING = (
    "%d keys were looked for and none of them was found, although other processes have put %d objects here: if keys "
    "are made by Python's hash(), set PYTHONHASHSEED to the same number in all of them")


class HashSeedWatch:
    """
    Counts lookups in vain until one finds what another process has put; from then on, and where PYTHONHASHSEED is set,
    it costs nothing. Counts may be a little off where several threads look at once.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.active = environment.get("PYTHONHASHSEED", "random") == "random"
        self.own: "set[int]" = set()
        """Of the keys that this process has put."""
        self._puts = self._lookups = 0
        self._next = ENOUGH

    def put(self, keys: Sequence[str]) -> None:
        """This process puts them."""
        self._puts += len(keys)
        if len(self.own) < _MOST_OWN:
            self.own.update(map(hash, keys))
        else:
            # What is found may be our own: nothing can be said any more.
            self.active = False

    def looked(self, keys: Sequence[str], codes: Sequence[int], objects: Callable[[], int]) -> None:
        """They were looked for: a code above 0 found one. objects: how many there are here."""
        if any(code > 0 and hash(key) not in self.own for key, code in zip(keys, codes)):
            self.active = False
            return
        self._lookups += sum(code <= 0 for code in codes)
        if self._lookups >= self._next:
            self._judge(objects)

    def looked_for(self, key: str, code: int, objects: Callable[[], int]) -> None:
        """The same for one."""
        if code > 0:
            self.active = self.active and hash(key) in self.own
            return
        self._lookups += 1
        if self._lookups >= self._next:
            self._judge(objects)

    def _judge(self, objects: Callable[[], int]) -> None:
        self._next = 2 * self._lookups
        others = objects() - self._puts
        if others >= ENOUGH:
            self.active = False
            log.warning(WARNING, self._lookups, others)


watch = HashSeedWatch(os.environ)
