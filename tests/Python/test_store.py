# SPDX-License-Identifier: Apache-2.0
"""mooncake.store against a real mesh."""

import asyncio
import ctypes
import unittest

from mesh_process import MeshProcess
from mooncake.async_store import MooncakeDistributedStoreAsync
from mooncake.buffer_pool import BufferPool
from mooncake.store import (MooncakeDistributedStore, MooncakeHostMemAllocator, ReplicaStatus, ReplicateConfig,
                            SoftPinAction)

MIB = 1 << 20


class StoreTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = MeshProcess()
        cls.store = MooncakeDistributedStore()
        assert cls.store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", cls.mesh.node) == 0
        cls.allocator = MooncakeHostMemAllocator()
        cls.memory = cls.allocator.alloc(65536)
        assert cls.store.register_buffer(cls.memory, 65536) == 0

    @classmethod
    def tearDownClass(cls):
        cls.store.close()
        cls.allocator.free(cls.memory)
        cls.mesh.close()

    def setUp(self):
        self.store.remove_all()

    def fill(self, data, offset=0):
        ctypes.memmove(self.memory + offset, data, len(data))
        return self.memory + offset

    def at(self, offset, size):
        return ctypes.string_at(self.memory + offset, size)

    def test_before_setup_and_after_close(self):
        store = MooncakeDistributedStore()
        self.assertEqual((store.health_check(), store.close(), store.get_hostname()), (1, 0, ""))
        self.assertEqual((store.put("a", b"1"), store.get("a"), store.is_exist("a")), (-600, b"", -600))
        with self.assertRaises(TypeError):
            store.setup()
        for _ in range(2):
            self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", self.mesh.node, None), 0)
            name, port = store.get_hostname().split(":")
            self.assertTrue(name == "localhost" and 12300 <= int(port) <= 14300)
            self.assertEqual(store.close(), 0)

    def test_setup_by_dict(self):
        store = MooncakeDistributedStore()
        given = {"local_hostname": "localhost", "metadata_server": "P2PHANDSHAKE",
                 "master_server_addr": self.mesh.node, "global_segment_size": 0, "local_buffer_size": 0}
        for size in ("50%", 1, "1B"):
            self.assertEqual(store.setup({**given, "global_segment_size": size}), -600)
        self.assertEqual(store.setup(config={**given, "unknown": 1}), 0)
        self.assertNotEqual(store.put("k", b"1"), 0)
        self.assertEqual(store.is_exist("k"), 0)
        self.assertEqual(store.setup({**given, "local_buffer_size": "16 MB"}), 0)
        self.assertEqual(store.put("k", b"1"), 0)
        store.close()

    def test_one_object(self):
        store = self.store
        self.assertEqual((store.put("a", b"hello"), store.put("a", b"x"), store.get("a")), (0, 0, b"hello"))
        self.assertEqual((store.is_exist("a"), store.isExist("b"), store.get_size("a")), (1, 0, 5))
        self.assertEqual((store.upsert("a", b"new"), store.get("a")), (0, b"new"))
        self.assertEqual((store.remove("a", force=True), store.remove("a"), store.get("a")), (0, -704, b""))
        self.assertEqual(store.put_parts("p", b"ab", bytearray(b"cd"), memoryview(b"e")), 0)
        self.assertEqual(store.get("p"), b"abcde")
        with self.assertRaises(TypeError):
            store.put("k", "text")
        with self.assertRaises(TypeError):
            store.put(key="k", data=b"1")

    def test_several(self):
        store = self.store
        self.assertEqual(store.put_batch(["a", "b"], [b"1", b"2"]), 0)
        self.assertEqual(store.put_batch(["a", "b"], [b"1"]), -600)
        self.assertEqual(store.get_batch(["a", "nope", "b"]), [b"1", b"", b"2"])
        self.assertEqual(store.batch_is_exist(["a", "nope", ""]), [1, 0, -600])
        self.assertEqual(store.batch_remove(["a", "nope"]), [0, -704])
        self.assertEqual((store.remove_by_regex("^b$"), store.remove_all(), store.batch_is_exist([])), (1, 0, []))

    def test_handles(self):
        self.store.put("k", b"hello")
        handle, none = self.store.batch_get_buffer(["k", "nope"])
        self.assertIsNone(none)
        view = memoryview(handle)
        self.assertEqual((handle.size(), len(handle), view.format, view.ndim), (5, 5, "c", 1))
        self.assertEqual(ctypes.string_at(handle.ptr(), 5), b"hello")
        del handle
        self.assertEqual(bytes(view), b"hello")

    def test_sizes_and_bounds(self):
        start = self.fill(b"0123456789")
        store = self.store
        self.assertEqual(store.put_from("k", start, 10), 0)
        self.fill(b"\xee" * 20, 100)
        self.assertEqual(store.get_into("k", start + 100, 9), -600)
        self.assertEqual(self.at(100, 10), b"\xee" * 10)
        self.assertEqual(store.get_into("k", start + 100, 12), 10)
        self.assertEqual(self.at(100, 12), b"0123456789\xee\xee")
        self.assertEqual(store.put_from("x", start + 65530, 10), -600)
        self.assertEqual(store.put_from("x", 2**64 - 5, 10), -600)
        with self.assertRaises(TypeError):
            store.put_from("x", -1, 10)

    def test_duplicates_and_missing(self):
        store, at = self.store, self.fill(b"AABB")
        self.assertEqual(store.batch_put_from(["x", "x", ""], [at, at + 2, at], [2, 2, 2]), [0, 0, -600])
        self.fill(b"\xee" * 64, 64)
        places = [at + 64 + 8 * i for i in range(3)]
        self.assertEqual(store.batch_get_into(["x", "nope", "x"], places, [8] * 3), [2, -704, 2])
        self.assertEqual(self.at(64, 24), (b"AA" + b"\xee" * 6) + b"\xee" * 8 + (b"AA" + b"\xee" * 6))
        self.assertEqual(store.batch_put_from(["y", "z"], [at], [1]), [-600, -600])
        self.assertEqual(store.batch_get_into([], [], []), [])

    def test_pieces_and_ranges(self):
        store, at = self.store, self.fill(b"0123456789")
        self.assertEqual(store.batch_put_from_multi_buffers(["k"], [[at, at + 5]], [[2, 3]]), [0])
        self.assertEqual(store.batch_get_into_multi_buffers(["k"], [[at + 50, at + 60]], [[3, 8]]), [5])
        self.assertEqual((self.at(50, 3), self.at(60, 2)), (b"015", b"67"))
        self.assertEqual(store.get_into_ranges([at + 80], [["k", "no"]], [[[0, 4], [8]]], [[[1, 3], [0]]],
                                               [[[2, 2], [1]]]), [[[2, 2], [-704]]])
        self.assertEqual((self.at(80, 2), self.at(84, 2)), (b"15", b"67"))
        self.assertEqual(store.batch_put_session_start(["s"], [4]), [0])
        self.assertEqual(store.batch_put_from_multi_buffer_ranges(["s"], [[at, at + 8]], [[2, 2]], [[2, 0]]), [0])
        self.assertEqual((store.batch_put_session_end(["s", "t"]), store.get("s")), ([0, -600], b"8901"))

    def test_config(self):
        config = ReplicateConfig()
        self.assertEqual((config.replica_num, config.soft_pin_ttl_ms, config.group_ids), (1, None, None))
        for value in (-1, 2**64):
            with self.assertRaises(TypeError):
                config.soft_pin_ttl_ms = value
        config.soft_pin_ttl_ms = 5
        self.assertEqual(self.store.put("k", b"1", config), -600)
        config.soft_pin_action, config.group_ids, config.with_soft_pin = SoftPinAction.ENABLE, ["g"], True
        self.assertEqual(self.store.put(key="k", value=b"1", config=config), 0)
        config.nof_replica_num = 1
        self.assertEqual(self.store.put("q", b"1", config), -1012)
        self.assertIn("replica_num: 1", str(config))

    def test_replicas_and_segments(self):
        self.store.put("k", b"12")
        (replica,) = self.store.get_replica_desc("k")
        self.assertEqual((replica.status, replica.is_memory_replica()), (ReplicaStatus.COMPLETE, True))
        self.assertEqual(self.store.mount_segment("/dev/shm/x", MIB)["ret"], -1012)
        self.assertEqual(self.store.unmount_segment(["nobody"], grace_period_seconds=0), -101)

    def test_a_subclass_that_is_awaited(self):
        store = MooncakeDistributedStoreAsync()
        store.setup("localhost", "P2PHANDSHAKE", 0, MIB, "tcp", "", self.mesh.node)
        self.assertEqual(asyncio.run(store.async_put("k", b"1")), 0)
        self.assertEqual(asyncio.run(store.async_get("k")), b"1")
        store.close()

    def test_a_pool(self):
        with BufferPool(self.store, max_bytes=2 * 65536) as pool:
            with pool.acquire(100) as lease, pool.buffer(size=65536) as other:
                lease.buffer[:5] = b"hello"
                self.assertEqual((self.store.put_from("k", lease.ptr, 5), other.size), (0, 65536))
                with self.assertRaises(MemoryError):
                    pool.acquire(1, block=False)
                with self.assertRaises(TimeoutError):
                    pool.acquire(1, timeout=0.01)
            pool.acquire(2 * 65536).release()
        self.assertEqual(self.store.get("k"), b"hello")
