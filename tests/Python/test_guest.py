# SPDX-License-Identifier: Apache-2.0
"""The library as a guest: of an event loop, of pytest, of processes that are spawned, interrupted, or end."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import unittest
from pathlib import Path

import mooncake_mesh
from mesh_process import MeshProcess
from mooncake.async_store import MooncakeDistributedStoreAsync
from mooncake.store import MooncakeDistributedStore

MIB = 1 << 20

# What the one get waits for is a node that was stopped; its own limit is a minute.
LONG_GET = """
import faulthandler, os, signal, sys, threading, time
faulthandler.enable()
import mooncake_mesh
signal.signal(signal.SIGINT, signal.default_int_handler)
mesh = mooncake_mesh.open(nodes=sys.argv[1], transport="tcp", get_timeout_ms=60000)
size = len(mesh.get("k"))
buffer = bytearray(size)
print("ready", flush=True)
sys.stdin.readline()
"""
ONE_GET = LONG_GET + """
begin = time.monotonic()
try:
    mesh.get_into("k", buffer)
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - begin < 20, flush=True)
sys.stdin.readline()
print(mesh.get("k") == b"x" * size, flush=True)
"""
GETS_IN_FLIGHT = LONG_GET + """
for _ in range(4):
    threading.Thread(target=lambda: mesh.get_into("k", bytearray(size)), daemon=True).start()
print("begun", flush=True)
sys.stdin.readline()
sys.exit(7)
"""
PYTEST = """
import pytest
from mooncake.store import MooncakeDistributedStore

@pytest.fixture
def store():
    store = MooncakeDistributedStore()
    assert store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", "{node}") == 0
    yield store
    assert store.close() == 0

@pytest.mark.parametrize("turn", range(3))
def test_put_and_get(store, turn):
    assert store.upsert("k", bytes([turn])) == 0
    assert store.get("k") == bytes([turn])
    assert store.get_into("k", 0, 1) == -600
"""


def spawned(node, number):
    store = MooncakeDistributedStore()
    code = store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", node)
    return code, store.put(f"spawned{number}", b"%d" % number), store.get(f"spawned{number}"), store.close()


class GuestTests(unittest.TestCase):
    def setUp(self):
        self.mesh = MeshProcess()
        self.addCleanup(self.mesh.close)

    def store(self, kind=MooncakeDistributedStore):
        store = kind()
        self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", self.mesh.node), 0)
        self.addCleanup(store.close)
        return store

    def begin(self, text):
        """A program that has got an object, and now waits before it gets it again."""
        self.assertEqual(self.store().put("k", b"x" * (4 * MIB)), 0)
        program = subprocess.Popen([sys.executable, "-c", text, self.mesh.node], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        self.assertEqual(program.stdout.readline(), "ready\n")
        return program

    def go_on(self, program):
        program.stdin.write("\n")
        program.stdin.flush()

    def wait_until_it_waits(self, program):
        """Until its main thread is in the library's wait: a futex, seen twice."""
        seen = 0
        for _ in range(100000):
            try:
                text = Path(f"/proc/{program.pid}/task/{program.pid}/wchan").read_text(encoding="ascii")
            except OSError:
                return
            seen = seen + 1 if "futex" in text else 0
            if seen > 100 or program.poll() is not None:
                return

    def test_ctrl_c_ends_one_long_get(self):
        program = self.begin(ONE_GET)
        self.mesh.pause()
        self.go_on(program)
        self.wait_until_it_waits(program)
        program.send_signal(signal.SIGINT)
        self.assertEqual(program.stdout.readline(), "interrupted True\n")
        self.mesh.go_on()
        self.go_on(program)
        said = program.stdout.readline()
        self.assertEqual(said, "True\n", program.stderr.read() if not said else "")
        self.assertEqual(program.wait(30), 0)

    def test_it_ends_with_long_gets_in_flight(self):
        program = self.begin(GETS_IN_FLIGHT)
        self.mesh.pause()
        self.go_on(program)
        self.assertEqual(program.stdout.readline(), "begun\n")
        self.go_on(program)
        self.assertEqual(program.wait(30), 7)

    def test_inside_a_running_event_loop(self):
        # As a notebook does: cells are run by a loop, and call what blocks and what is awaited alike.
        store = self.store(MooncakeDistributedStoreAsync)

        async def cell():
            self.assertEqual(store.put("a", b"1"), 0)
            self.assertEqual(await store.async_get("a"), b"1")
            self.assertEqual(await asyncio.gather(*[store.async_put(f"k{i}", b"2") for i in range(16)]), [0] * 16)
            async with await mooncake_mesh.AsyncMesh.open(nodes=self.mesh.node) as mesh:
                return await mesh.get("k15")

        loop = asyncio.new_event_loop()
        try:
            self.assertEqual(loop.run_until_complete(cell()), b"2")
            self.assertEqual(loop.run_until_complete(cell()), b"2")
        finally:
            loop.close()

    def test_the_loop_goes_on_while_a_call_waits(self):
        store = self.store(MooncakeDistributedStoreAsync)
        self.assertEqual(store.put("k", b"x" * (4 * MIB)), 0)
        self.mesh.pause()

        async def wait_and_count():
            call = asyncio.ensure_future(store.async_get("k"))
            for _ in range(100):
                await asyncio.sleep(0)
            counted = not call.done()
            self.mesh.go_on()
            return counted, len(await call)

        counted, size = asyncio.run(wait_and_count())
        self.assertTrue(counted)
        self.assertIn(size, (0, 4 * MIB))

    def test_spawned_processes(self):
        self.store().put("parent", b"1")
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            found = pool.starmap(spawned, [(self.mesh.node, i) for i in range(4)])
        self.assertEqual(found, [(0, 0, b"%d" % i, 0) for i in range(4)])

    def test_pytest(self):
        program = next((one for one in (sys.executable, "/usr/bin/python3") if os.path.exists(one) and subprocess.run(
            [one, "-c", "import pytest"], capture_output=True, timeout=60).returncode == 0), None)
        if program is None:
            self.skipTest("pytest is not installed (Debian: python3-pytest)")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "test_it.py").write_text(PYTEST.replace("{node}", self.mesh.node), encoding="utf-8")
            ended = subprocess.run(
                [program, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder], capture_output=True, text=True,
                timeout=120, env={**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]})
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn("3 passed", ended.stdout)
