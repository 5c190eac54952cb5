# SPDX-License-Identifier: Apache-2.0
"""From bug reports of similar systems: two writers of one key, and a mesh that is filled far past its size."""

import hashlib
import threading
import time
import unittest

import mooncake_mesh
from mesh_process import MeshProcess
from mooncake.store import MooncakeDistributedStore, MooncakeHostMemAllocator

MIB = 1 << 20


class TwoWritersTests(unittest.TestCase):
    KEYS, SIZE = 48, MIB

    def setUp(self):
        self.mesh = MeshProcess("128MiB")
        self.addCleanup(self.mesh.close)
        self.stores = []
        for segment in (64 * MIB, 64 * MIB, 0):
            store = MooncakeDistributedStore()
            self.stores.append(store)
            self.addCleanup(store.close)
            self.assertEqual(store.setup("localhost", "etcd://" + self.mesh.etcd, segment, MIB, "auto", "",
                                         self.mesh.node), 0)

    def test_every_reader_sees_one_whole_value(self):
        patterns = [bytes([number]) * self.SIZE for number in (1, 2)]
        whole = {hashlib.sha256(one).digest() for one in patterns}
        start, done = threading.Barrier(2), threading.Event()
        codes, torn, seen = [], [], {}

        def write(store, pattern):
            for number in range(self.KEYS):
                start.wait(60)
                codes.append(store.put(f"k-{number}", pattern))

        def read():
            store = self.stores[2]
            while not done.is_set():
                for number in range(self.KEYS):
                    if store.is_exist(f"k-{number}") == 1:
                        digest = hashlib.sha256(store.get(f"k-{number}")).digest()
                        if digest not in whole or seen.setdefault(number, digest) != digest:
                            torn.append(number)

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=write, args=one) for one in zip(self.stores, patterns)]
        for thread in [reader, *writers]:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()
        self.assertEqual((codes, torn), ([0] * (2 * self.KEYS), []))
        for number in range(self.KEYS):
            values = {hashlib.sha256(store.get(f"k-{number}")).digest() for store in self.stores}
            self.assertEqual(len(values), 1)
            self.assertEqual(seen.get(number, *values), *values)
        self.assert_live(self.KEYS * self.SIZE)

    def assert_live(self, wanted):
        """What the loser put is freed, soon."""
        with mooncake_mesh.open(nodes=self.mesh.node) as mesh:
            nodes = ["n0", *[store.get_hostname() for store in self.stores[:2]]]
            until = time.monotonic() + 20
            while True:
                live = sum(mesh.status(node)["memory"]["live"] for node in nodes)
                if live == wanted or time.monotonic() > until:
                    break
        self.assertEqual(live, wanted)


class RepeatedPutTests(unittest.TestCase):
    def test_the_first_value_stays_and_nothing_is_kept_of_the_others(self):
        mesh = MeshProcess()
        self.addCleanup(mesh.close)
        store = MooncakeDistributedStore()
        self.addCleanup(store.close)
        self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", mesh.node), 0)
        with mooncake_mesh.open(nodes=mesh.node) as client:
            first, second = b"a" * MIB, b"b" * (2 * MIB)
            self.assertEqual(store.put("k", first), 0)
            live = client.status()["memory"]["live"]
            self.assertEqual({store.put("k", value) for value in [first, second] * 1000}, {0})
            self.assertEqual((store.get("k"), client.status()["memory"]["live"]), (first, live))
            self.assertEqual((store.upsert("k", second), store.get("k")), (0, second))
            self.assertEqual(client.status()["memory"]["live"], live + MIB)


class FarPastCapacityTests(unittest.TestCase):
    PUTS, RECENT = 400, 32

    def test_puts_succeed_while_something_asks(self):
        mesh = MeshProcess("64MiB")
        self.addCleanup(mesh.close)
        stores = [MooncakeDistributedStore() for _ in range(2)]
        for store in stores:
            self.addCleanup(store.close)
            self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", mesh.node), 0)
        store, asking = stores
        allocator = MooncakeHostMemAllocator()
        memory = allocator.alloc(MIB)
        self.addCleanup(allocator.free, memory)
        self.assertEqual(store.register_buffer(memory, MIB), 0)
        keys, done, answers = [], threading.Event(), set()

        def ask():
            while not done.is_set():
                answers.update(asking.batch_is_exist(list(keys)))

        asker = threading.Thread(target=ask)
        asker.start()
        codes, slowest = set(), 0.0
        try:
            for number in range(self.PUTS):
                begin = time.monotonic()
                codes.add(store.put(f"k{number}", number.to_bytes(4, "little") * (MIB // 4)))
                slowest = max(slowest, time.monotonic() - begin)
                keys.append(f"k{number}")
        finally:
            done.set()
            asker.join()
        self.assertEqual(codes, {0})
        self.assertLessEqual(answers, {0, 1})
        self.assertLess(slowest, 5)
        before = store.batch_is_exist(keys)
        sizes = [store.get_into(key, memory, MIB) for key in keys]
        present = store.batch_is_exist(keys)
        # The background still makes a little room: what was there before may be gone, and nothing comes back.
        for was, size, is_ in zip(before, sizes, present):
            self.assertIn((was, size, is_), ((0, -704, 0), (1, MIB, 1), (1, MIB, 0), (1, -704, 0)))
        self.assertEqual(present[-self.RECENT:], [1] * self.RECENT)
        self.assertEqual(store.get(keys[-1])[:4], (self.PUTS - 1).to_bytes(4, "little"))
        with mooncake_mesh.open(nodes=mesh.node) as client:
            used = client.status()["memory"]
        self.assertLessEqual(used["live"], used["capacity"])
        self.assertLessEqual(used["objects"], sum(present))
        self.assertLess(sum(present), self.PUTS)
