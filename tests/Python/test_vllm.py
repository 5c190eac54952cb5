# SPDX-License-Identifier: Apache-2.0
"""The calls of vLLM's store worker: seven positional arguments, pieces of pages, several threads."""

import ctypes
import unittest
from concurrent.futures import ThreadPoolExecutor

from mesh_process import MeshProcess
from mooncake.store import MooncakeDistributedStore, MooncakeHostMemAllocator, ReplicateConfig

PIECE, PIECES, THREADS = 16384, 4, 4


class StoreWorkerTests(unittest.TestCase):
    def setUp(self):
        self.mesh = MeshProcess("16MiB")
        self.store = MooncakeDistributedStore()
        self.assertEqual(self.store.setup("127.0.0.1", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", self.mesh.node), 0)
        self.allocator, self.size = MooncakeHostMemAllocator(), THREADS * 2 * PIECES * PIECE
        self.memory = self.allocator.alloc(self.size)
        self.assertEqual(self.store.register_buffer(self.memory, self.size), 0)

    def tearDown(self):
        self.assertEqual(self.store.close(), 0)
        self.allocator.free(self.memory)
        self.mesh.close()

    def pages(self, thread):
        base = self.memory + thread * 2 * PIECES * PIECE
        return [[base + (half * PIECES + i) * PIECE for i in range(PIECES)] for half in range(2)]

    def test_several_threads_put_and_get_pieces(self):
        sizes = [[PIECE] * PIECES]

        def work(thread):
            source, target = self.pages(thread)
            config = ReplicateConfig()
            for turn in range(20):
                key = f"model@1@{thread}@{turn}"
                for i, start in enumerate(source):
                    ctypes.memset(start, thread * 40 + turn + i, PIECE)
                self.assertEqual(self.store.batch_put_from_multi_buffers([key], [source], sizes, config), [0])
                self.assertEqual(self.store.batch_get_into_multi_buffers([key], [target], sizes), [PIECE * PIECES])
                for start, there in zip(source, target):
                    self.assertEqual(ctypes.string_at(start, PIECE), ctypes.string_at(there, PIECE))
            return self.store.batch_is_exist([f"model@1@{thread}@0", "no"])

        with ThreadPoolExecutor(THREADS) as pool:
            self.assertEqual(list(pool.map(work, range(THREADS))), [[1, 0]] * THREADS)
        self.assertEqual(self.store.remove_all(force=True), THREADS * 20)

    def test_a_full_mesh_says_so(self):
        config = ReplicateConfig()
        config.with_hard_pin = True
        source = self.pages(0)[0]
        codes = [self.store.batch_put_from_multi_buffers([f"k{i}"], [source], [[PIECE] * PIECES], config)[0]
                 for i in range(300)]
        self.assertEqual(set(codes), {0, -200})
