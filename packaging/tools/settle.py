#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Gives every entry of zip files the time SOURCE_DATE_EPOCH, and sorts them: settle.py FILE..."""

import os
import sys
import time
import zipfile
from pathlib import Path

EARLIEST = 315532800  # a zip begins in 1980


def settle(path: Path) -> None:
    """Writes one file anew."""
    stamp = time.gmtime(max(int(os.environ["SOURCE_DATE_EPOCH"]), EARLIEST))[:6]
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, stamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, entries[name])


for argument in sys.argv[1:]:
    settle(Path(argument))
