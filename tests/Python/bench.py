# SPDX-License-Identifier: Apache-2.0
"""
Figures of the Python packages, each by turns with its limit in the same run, medians of 7 pairs: run.sh LIBRARY NODE
bench.py. Rows as those of "mooncake-mesh bench --json".
"""

import ctypes
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from mesh_process import MeshProcess
from mooncake.store import MooncakeDistributedStore
from mooncake_mesh._library import load

PAIRS, WARM_UPS, LARGE, ROTATION, SMALL, CALLS = 7, 3, 16 << 20, 12, 64, 2000

# The same call in a loop of C.
LOOP = """
#include <stdint.h>
#include <time.h>
typedef int64_t (*get_into)(int64_t, const char *, uint64_t, void *, uint64_t);
int64_t loop(get_into call, int64_t mesh, const char *key, uint64_t length, void *to, uint64_t size, int64_t *ns,
             int count)
{
    for (int i = 0; i < count; i++) {
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        int64_t code = call(mesh, key, length, to, size);
        clock_gettime(CLOCK_MONOTONIC, &after);
        if (code < 0)
            return code;
        ns[i] = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    }
    return 0;
}
"""


def address_of(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def rows(node):
    store = MooncakeDistributedStore()
    check(store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "auto", "", node) == 0)
    sources = [mmap.mmap(-1, LARGE) for _ in range(ROTATION)]
    target = mmap.mmap(-1, LARGE * ROTATION)
    start = address_of(target)
    check(store.register_buffer(start, LARGE * ROTATION) == 0)
    for number, source in enumerate(sources):
        source.write(os.urandom(1 << 16) * (LARGE >> 16))
        check(store.put(f"large{number}", source) == 0)
    check(store.put("small", b"x" * SMALL) == 0)
    yield large(store, [address_of(source) for source in sources], start)
    yield small(store, start, node)
    yield overlap(store, start)
    store.close()


def large(store, sources, start):
    """get_into of 16 MiB, verified, over memory that is more than the caches hold."""
    targets = [start + number * LARGE for number in range(ROTATION)]

    def gets():
        for number, target in enumerate(targets):
            check(store.get_into(f"large{number}", target, LARGE) == LARGE)

    def copies():
        for source, target in zip(sources, targets):
            ctypes.memmove(target, source, LARGE)

    pairs = alternate(gets, copies)
    figures = [(ROTATION * LARGE / one / 1e9, ROTATION * LARGE / other / 1e9) for one, other in pairs]
    return row("python.get_into.16MiB", "GB/s", figures)


def small(store, start, node):
    """
    get_into of 64 B from Python, beside the same blocking get from C# (overhead_us), the same call in a loop of C
    (over_c_us), and a bare call by ctypes beside that loop (ctypes_us), which no code of ours can save.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, library = os.path.join(folder, "loop.c"), os.path.join(folder, "loop.so")
        with open(source, "w", encoding="ascii") as file:
            file.write(LOOP)
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        loop = ctypes.CDLL(library).loop
    loop.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p,
                     ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int]
    function = ctypes.cast(load().mooncake_mesh_get_into, ctypes.c_void_p)

    def from_python():
        spent = []
        for _ in range(CALLS):
            begin = time.perf_counter_ns()
            store.get_into("small", start, SMALL)
            spent.append(time.perf_counter_ns() - begin)
        return statistics.median(spent)

    def from_c():
        spent = (ctypes.c_int64 * CALLS)()
        check(loop(function, store._handle, b"small", 5, start, SMALL, spent, CALLS) == 0)
        return statistics.median(spent)

    def by_ctypes():
        spent, call, handle = [], load().mooncake_mesh_get_into, store._handle
        for _ in range(CALLS):
            begin = time.perf_counter_ns()
            call(handle, b"small", 5, start, SMALL)
            spent.append(time.perf_counter_ns() - begin)
        return statistics.median(spent)

    command = [os.environ["MOONCAKE_MESH_NODE"], "bench-peer", "get", node, "small", str(SMALL)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        check(peer.stdout.readline() == "ready\n")

        def from_csharp():
            peer.stdin.write(f"{CALLS}\n")
            peer.stdin.flush()
            return float(peer.stdout.readline())

        for _ in range(WARM_UPS):
            from_python(), from_csharp()
        figures = [(from_python() / 1e3, from_csharp() / 1e3, from_c() / 1e3, by_ctypes() / 1e3) for _ in range(PAIRS)]
        peer.stdin.close()
    made = row("python.get_into.64B", "us", [figure[:2] for figure in figures])
    made["overhead_us"] = round(statistics.median(one - other for one, other, _, _ in figures), 2)
    made["over_c_us"] = round(statistics.median(one - other for one, _, other, _ in figures), 2)
    made["ctypes_us"] = round(statistics.median(bare - other for _, _, other, bare in figures), 2)
    return made


def overlap(store, start):
    """Four threads against one, each with as many calls: whoever waits lets the others run."""
    def work(number):
        for _ in range(CALLS):
            store.get_into("small", start + number * SMALL, SMALL)

    def four():
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    pairs = alternate(four, lambda: work(0))
    return row("python.get_into.64B.four_threads", "calls/s",
               [(4 * CALLS / one, CALLS / other) for one, other in pairs])


def alternate(one, other):
    one(), other()
    return [(timed(one), timed(other)) for _ in range(PAIRS)]


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def row(name, unit, figures):
    return {"name": name, "value": statistics.median(one for one, _ in figures), "unit": unit,
            "limit": statistics.median(other for _, other in figures),
            "ratio": statistics.median(one / other for one, other in figures)}


def check(true):
    if not true:
        raise RuntimeError("a call failed")


def main():
    mesh = MeshProcess("512MiB")
    try:
        print(json.dumps(list(rows(mesh.node)), indent=1))
    finally:
        mesh.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
