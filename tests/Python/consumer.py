# SPDX-License-Identifier: Apache-2.0
"""What the tests of consumers share: a mesh, a store, memory."""

import ctypes
import unittest

from mesh_process import MeshProcess
from mooncake.store import MooncakeDistributedStore, MooncakeHostMemAllocator


class ConsumerTests(unittest.TestCase):
    SIZE = 1 << 20

    def setUp(self):
        self.mesh = MeshProcess()
        self.store = MooncakeDistributedStore()
        self.allocator = MooncakeHostMemAllocator()
        self.memory = self.allocator.alloc(self.SIZE)

    def tearDown(self):
        self.assertEqual(self.store.close(), 0)
        self.allocator.free(self.memory)
        self.mesh.close()

    def write(self, offset, data):
        ctypes.memmove(self.memory + offset, data, len(data))
        return self.memory + offset

    def read(self, offset, size):
        return ctypes.string_at(self.memory + offset, size)
