# SPDX-License-Identifier: Apache-2.0
"""
Put, get, remove, again and again: memory, descriptors and threads of this process and of the node stay as they are.
MOONCAKE_MESH_TEST_CYCLES is how often, 100,000 unless it says otherwise.
"""

import ctypes
import os
import unittest
from pathlib import Path
from unittest import mock

import mooncake_mesh
from mesh_process import MeshProcess
from mooncake.store import MooncakeDistributedStore, MooncakeHostMemAllocator, ReplicateConfig

CYCLES = int(os.environ.get("MOONCAKE_MESH_TEST_CYCLES", "100000"))
BATCH, SIZE = 100, 1024
# The keys come round again: for ten minutes an owner keeps that a key was removed, about 100 bytes for each other key.
KEYS = 10_000
# Collectors keep what they have had, and connections are made when they are needed first. What leaks 200 bytes a cycle,
# or a descriptor a batch, has left this behind long before 100,000.
MORE = 16
GROWTH = (16 << 20, 16 << 20, MORE, MORE)


def memory_of(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def least_of(figures):
    return [min(column) for column in zip(*figures)]


class CycleTests(unittest.TestCase):
    def setUp(self):
        # By default a collector lets as much gather as the processor's cache holds, which hides what grows.
        with mock.patch.dict(os.environ, {"DOTNET_GCgen0size": "0x400000"}):
            self.mesh = MeshProcess("64MiB")
        self.addCleanup(self.mesh.close)
        self.store = MooncakeDistributedStore()
        self.addCleanup(self.store.close)
        self.assertEqual(self.store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "auto", "", self.mesh.node), 0)
        allocator = MooncakeHostMemAllocator()
        self.memory = allocator.alloc(2 * BATCH * SIZE)
        self.addCleanup(allocator.free, self.memory)
        self.assertEqual(self.store.register_buffer(self.memory, 2 * BATCH * SIZE), 0)

    def cycle(self, number):
        """BATCH cycles: a hundred in batches, and now and then each kind of call that hands out memory."""
        store, config = self.store, ReplicateConfig()
        keys = [f"cycle/{number % (KEYS // BATCH)}/{i}" for i in range(BATCH)]
        places = [self.memory + i * SIZE for i in range(BATCH)]
        targets = [place + BATCH * SIZE for place in places]
        ctypes.memset(self.memory, number % 255 + 1, BATCH * SIZE)
        self.assertEqual(store.batch_put_from(keys, places, [SIZE] * BATCH, config), [0] * BATCH)
        self.assertEqual(store.batch_get_into(keys, targets, [SIZE] * BATCH), [SIZE] * BATCH)
        value = bytes([number % 255 + 1]) * SIZE
        self.assertEqual(ctypes.string_at(targets[-1], SIZE), value)
        self.assertEqual((store.get(keys[0]), bytes(store.get_buffer(keys[1]))), (value, value))
        self.assertEqual((store.remove(keys[0]), store.get(keys[0])), (0, b""))
        self.assertEqual(store.batch_remove(keys[1:]), [0] * (BATCH - 1))

    def figures(self):
        """Memory of this process and of the node, in bytes, and descriptors of both."""
        pids = (os.getpid(), self.mesh.node_pid)
        return [memory_of(pid) for pid in pids] + [descriptors_of(pid) for pid in pids]

    def test_nothing_grows(self):
        rounds = max(40, CYCLES // BATCH)
        tenth = rounds // 10
        figures = []
        for number in range(rounds):
            self.cycle(number)
            figures.append(self.figures())
        # Least against least: a collector gives back late, and never what leaks.
        for before, after, growth in zip(least_of(figures[tenth:2 * tenth]), least_of(figures[-tenth:]), GROWTH):
            self.assertLess(after, before + growth)
        with mooncake_mesh.open(nodes=self.mesh.node) as mesh:
            status = mesh.status()["memory"]
        self.assertEqual((status["objects"], status["live"]), (0, 0))

    def test_setup_and_close_leave_nothing(self):
        store = MooncakeDistributedStore()

        def turn():
            self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", self.mesh.node), 0)
            self.assertEqual((store.put("k", b"1"), store.close()), (0, 0))

        for _ in range(10):
            turn()
        before = descriptors_of(os.getpid())
        for _ in range(40):
            turn()
        self.assertLess(descriptors_of(os.getpid()), before + MORE)
