#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the manual page of mooncake-mesh from the command's own help: manpage.py PROGRAM FILE.1.gz"""

import datetime
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

def ask(program: str, *words: str) -> str:
    """What the command says."""
    return subprocess.run([program, *words, "--help"], check=True, capture_output=True, text=True).stdout


def sections(text: str) -> dict:
    """The help text by its headings."""
    found, name = {}, ""
    for line in text.splitlines():
        heading = re.match(r"^(\w+)(?: codes)?:(.*)$", line)
        if heading:
            name = heading[1]
            found[name] = [heading[2].strip()] if heading[2].strip() else []
        elif line.strip():
            found.setdefault(name, []).append(line)
    return found


def rows(lines: list) -> list:
    """Pairs of what stands left and right in a table; what is wrapped belongs to the row above."""
    pairs = []
    for line in lines:
        left, _, right = re.sub(r"^  (\S.*?)(?:  +|$)", r"\1\0", line, count=1).partition("\0")
        if line.startswith("   ") and pairs:
            pairs[-1][1] += " " + line.strip()
        else:
            pairs.append([left.strip(), right.strip()])
    return pairs


def escape(text: str) -> str:
    """Text that troff leaves as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def table(lines: list) -> list:
    """A list of terms."""
    out = []
    for left, right in rows(lines):
        out += [".TP", f".B {escape(left)}", escape(right)]
    return out


def page(program: str) -> str:
    """The page."""
    top = sections(ask(program))
    day = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    out = [f'.TH MOONCAKE-MESH 1 "{day:%Y-%m-%d}" "mooncake-mesh {os.environ["VERSION"]}"',
           ".SH NAME", "mooncake\\-mesh \\- masterless cache for the KV blocks of LLM inference",
           ".SH SYNOPSIS", ".B mooncake\\-mesh", ".I COMMAND", "[\\fIFLAGS\\fR]",
           ".SH COMMANDS", *table(top["Commands"])]
    for name, _ in rows(top["Commands"]):
        name = name.split()[0]
        help_text = sections(ask(program, name))
        out += [f".SH MOONCAKE-MESH {name.upper()}", *map(escape, (line.strip() for line in help_text["Description"])),
                ".PP", ".B " + escape(help_text["Usage"][0].strip())]
        for heading in ("Commands", "Arguments", "Options"):
            out += table(help_text.get(heading, []))
        out += [".PP", "Examples:", ".nf", *(escape(line) for line in help_text["Examples"]), ".fi"]
    out += [".SH FILES", ".TP", ".I /etc/mooncake\\-mesh/config.json", "Settings of the node that systemd starts.",
            ".SH ENVIRONMENT", "Each setting of", ".B serve",
            "is also taken from the variable MOONCAKE_MESH_ and its name, as in MOONCAKE_MESH_LOG_LEVEL.",
            ".SH EXIT STATUS", *map(escape, top["Exit"])]
    return "\n".join(out) + "\n"


def main() -> None:
    """Writes it."""
    if len(sys.argv) != 3:
        sys.exit("usage: packaging/tools/manpage.py PROGRAM FILE.1.gz")
    target = Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(page(sys.argv[1]).encode(), mtime=0))


main()
