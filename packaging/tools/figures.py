#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints what a node costs, for the program of a package: figures.py ROOT, where the package was unpacked.

Installed size; time from the start to READY with a segment of 4 GiB; memory besides the segment, and load, at rest.
Exits with 1 where one is over its limit. Needs etcd (or MOONCAKE_MESH_TEST_ETCD).
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SEGMENT = 4 << 30
LIMITS = {"start to READY": (1.0, "s"), "memory at rest": (150.0, "MiB"), "load at rest": (1.0, "% of a core")}
LOOKED_AT = 20.0  # seconds over which the load is taken


def free_ports(count: int) -> list:
    """Ports nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def size(root: Path) -> float:
    """Bytes of the package's files, in MiB."""
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()) / 2**20


def memory(pid: int) -> dict:
    """Resident memory of a process by kind, in bytes."""
    rows = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if row and row[0].startswith("Rss")}


def spent(pid: int) -> dict:
    """Processor time of each thread of a process, in seconds: by the scheduler, as ticks of 10 ms are too coarse."""
    times = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            times[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except FileNotFoundError:
            pass  # it has ended
    return times


def await_etcd(health: str, etcd: subprocess.Popen) -> None:
    """Waits until etcd has a leader: what it takes to elect one is not the node's."""
    while etcd.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=1) as answer:
                if b'"true"' in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"figures.py: etcd ended with {etcd.returncode}")


def await_ready(notify: socket.socket, node: subprocess.Popen) -> None:
    """Waits for READY=1, as systemd does."""
    notify.settimeout(0.5)
    while node.poll() is None:
        try:
            if b"READY=1" in notify.recv(4096):
                return
        except TimeoutError:
            pass
    sys.exit(f"figures.py: the node ended with {node.returncode}")


def run(program: Path, work: Path) -> dict:
    """Starts etcd and a node, and measures."""
    client, peer = free_ports(2)
    etcd = subprocess.Popen(
        [os.environ.get("MOONCAKE_MESH_TEST_ETCD", "etcd"), "--data-dir", work / "etcd", "--listen-client-urls",
         f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls",
         f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
         "--initial-cluster", f"default=http://127.0.0.1:{peer}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    node = None
    try:
        await_etcd(f"http://127.0.0.1:{client}/health", etcd)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(work / "notify"))
        figures = {}
        begin = time.monotonic()
        node = subprocess.Popen(
            [program, "serve", "--etcd-endpoints", f"127.0.0.1:{client}", "--segments", "4GiB", "--runtime-directory",
             work], env={**os.environ, "NOTIFY_SOCKET": str(work / "notify")}, stderr=subprocess.DEVNULL)
        await_ready(notify, node)
        figures["start to READY"] = time.monotonic() - begin
        while memory(node.pid)["RssShmem"] < SEGMENT:
            if node.poll() is not None:
                sys.exit(f"figures.py: the node ended with {node.returncode}")
            time.sleep(0.1)
        begin, before = time.monotonic(), spent(node.pid)
        time.sleep(LOOKED_AT)
        used = sum(seconds - before.get(thread, 0) for thread, seconds in spent(node.pid).items())
        figures["load at rest"] = 100 * used / (time.monotonic() - begin)
        kinds = memory(node.pid)
        figures["memory at rest"] = (kinds["RssAnon"] + kinds["RssFile"]) / 2**20
        return figures
    finally:
        for process in (node, etcd):
            if process is not None:
                process.terminate()
                process.wait()


def main() -> None:
    """Prints the figures."""
    if len(sys.argv) != 2:
        sys.exit("usage: packaging/tools/figures.py ROOT")
    root = Path(sys.argv[1])
    print(f"installed size: {size(root):.1f} MiB")
    work = Path(tempfile.mkdtemp())
    try:
        figures = run(root / "usr/bin/mooncake-mesh", work)
    finally:
        shutil.rmtree(work)
    over = False
    for name, value in figures.items():
        limit, unit = LIMITS[name]
        over |= value > limit
        print(f"{name}: {value:.2f} {unit} (at most {limit:g})")
    sys.exit(1 if over else 0)


main()
