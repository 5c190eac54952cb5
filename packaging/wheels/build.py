#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Builds both wheels: build.py LIBRARY FOLDER. The same sources and libraries give the same bytes. Libraries for newer
processors (glibc-hwcaps beside LIBRARY) go in too, and are taken where they fit.
"""

import base64
import hashlib
import os
import re
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/Client/Python"
# By the machine in the library's ELF header.
NATIVE_TAGS = {62: "py3-none-manylinux_2_34_x86_64", 183: "py3-none-manylinux_2_34_aarch64"}
PURE_TAG = "py3-none-any"


def version() -> str:
    """The repository's."""
    return re.search(r"<Version>(.*)</Version>", (ROOT / "Directory.Build.props").read_text())[1]


def tag_of(library: bytes) -> str:
    """The tag of a wheel with this library."""
    machine = int.from_bytes(library[18:20], "little")
    if library[:4] != b"\x7fELF" or machine not in NATIVE_TAGS:
        sys.exit("LIBRARY is no library for x86-64 or arm64")
    return NATIVE_TAGS[machine]


def stamp() -> tuple:
    """Time of every entry; a zip begins in 1980."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", 315532800))
    return time.gmtime(max(seconds, 315532800))[:6]


def build(folder: Path, name: str, tag: str, files: dict, requires: str, summary: str) -> Path:
    """Writes one wheel."""
    info = f"{name.replace('-', '_')}-{version()}.dist-info"
    requirement = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        **files,
        f"{info}/METADATA": (f"Metadata-Version: 2.1\nName: {name}\nVersion: {version()}\nSummary: {summary}\n"
                             f"License: Apache-2.0\nRequires-Python: >=3.9\n{requirement}").encode(),
        f"{info}/WHEEL": (f"Wheel-Version: 1.0\nGenerator: mooncake-mesh\n"
                          f"Root-Is-Purelib: {str(tag == PURE_TAG).lower()}\nTag: {tag}\n").encode(),
        f"{info}/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }
    record = ""
    for path in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[path]).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(files[path])}\n"
    wheel = folder / f"{name.replace('-', '_')}-{version()}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*sorted(files), f"{info}/RECORD"]:
            entry = zipfile.ZipInfo(path, stamp())
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if path.endswith(".so") else 0o644) << 16
            archive.writestr(entry, files.get(path, f"{record}{info}/RECORD,,\n".encode()))
    return wheel


def package(name: str) -> dict:
    """The files of a package and of those in it."""
    return {str(path.relative_to(SOURCE)): path.read_bytes() for path in sorted((SOURCE / name).rglob("*"))
            if path.suffix in (".py", ".typed")}


def main() -> None:
    """Builds both."""
    if len(sys.argv) != 3:
        sys.exit("usage: packaging/wheels/build.py LIBRARY FOLDER")
    library, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    native = {**package("mooncake_mesh"), "mooncake_mesh/libmooncake_mesh.so": library.read_bytes()}
    for path in sorted((library.parent / "glibc-hwcaps").glob(f"*/{library.name}")):
        native[f"mooncake_mesh/{path.parent.name}/libmooncake_mesh.so"] = path.read_bytes()
    print(build(folder, "mooncake-mesh", tag_of(library.read_bytes()), native, "", "A masterless cache for KV blocks"))
    print(build(folder, "mooncake-mesh-compat", PURE_TAG, package("mooncake"), f"mooncake-mesh=={version()}",
                "Mooncake's Python interface, on Mooncake.Mesh"))


main()
