# SPDX-License-Identifier: Apache-2.0
"""Tensors, with a stand-in for torch, without any, and with torch where it is installed."""

import ctypes
import os
import struct
import tempfile
import unittest

import torch_stand_in
from consumer import ConsumerTests
from mooncake import store as module
from mooncake.store import ParallelAxis, ReadTarget, ReplicateConfig, TensorParallelism

HEADER = 304


def axis(kind, rank, size, split_dim=None):
    made = ParallelAxis()
    made.kind, made.rank, made.size, made.split_dim = kind, rank, size, split_dim
    return made


def parallelism(*axes):
    made = TensorParallelism()
    made.axes = list(axes)
    return made


def target(mode, *axes):
    made = ReadTarget()
    made.mode, made.parallelism = mode, parallelism(*axes) if axes else None
    return made


class TensorTests(ConsumerTests):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", self.mesh.node), 0)
        self.assertEqual(self.store.register_buffer(self.memory, self.SIZE), 0)
        stand_in = torch_stand_in.installed()
        self.torch = stand_in.__enter__()
        self.addCleanup(stand_in.__exit__, None, None, None)

    def tensor(self, shape=(4, 6), start=0):
        count = 1
        for extent in shape:
            count *= extent
        return torch_stand_in.tensor(struct.pack(f"<{count}i", *range(start, start + count)), self.torch.int32, shape)

    def assert_same(self, found, wanted):
        self.assertIsNotNone(found)
        self.assertEqual((str(found.dtype), tuple(found.shape), found.tobytes()),
                         (str(wanted.dtype), tuple(wanted.shape), wanted.tobytes()))

    def in_memory(self, tensor, offset=0):
        header, start, size, _ = module._serialize_tensor(tensor)
        self.write(offset, header + ctypes.string_at(start, size))
        return self.memory + offset, HEADER + size

    def test_whole_tensors(self):
        store, first, second = self.store, self.tensor(), self.tensor((3,), 50)
        self.assertEqual((store.put_tensor("a", first), store.put_tensor(key="a", tensor=second)), (0, 0))
        self.assert_same(store.get_tensor("a"), first)
        self.assertEqual((store.upsert_tensor("a", second), store.upsert_pub_tensor("b", first)), (0, 0))
        self.assert_same(store.get_tensor("a"), second)
        self.assertEqual(store.batch_put_tensor(["c", "d", "e"], [first, "no tensor", second]), [0, -600, 0])
        c, d, e = store.batch_get_tensor(["c", "d", "e"])
        self.assert_same(c, first)
        self.assertIsNone(d)
        self.assert_same(e, second)
        self.assertEqual(store.batch_put_tensor(["x", "y"], [first]), [-600, -600])
        self.assertEqual(store.batch_upsert_tensor(["c"], [second]), [0])
        self.assert_same(store.get_tensor("c"), second)

    def test_what_is_no_tensor_is_none(self):
        self.store.put("bytes", b"x" * 400)
        self.store.put("short", b"x")
        self.assertEqual(self.store.batch_get_tensor(["bytes", "short", "nobody"]), [None] * 3)
        self.assertEqual(self.store.put_tensor("k", b"bytes"), -600)
        self.assertEqual(self.store.is_exist("k"), 0)
        nine = torch_stand_in.tensor(b"1234", self.torch.int32, (1,) * 9)
        self.assertEqual(self.store.put_tensor("k", nine), -600)

    def test_empty_and_scalar(self):
        for key, tensor in (("empty", self.tensor((0, 3))), ("scalar", self.tensor(()))):
            self.assertEqual(self.store.put_tensor(key, tensor), 0)
            self.assert_same(self.store.get_tensor(key), tensor)

    def test_a_config(self):
        config = ReplicateConfig()
        config.group_ids = ["g", "h"]
        self.assertEqual(self.store.batch_pub_tensor(["a", "b"], [self.tensor()] * 2, config), [0, 0])
        self.assertEqual(self.store.batch_pub_tensor_with_tp(["c", "d"], [self.tensor()] * 2, config, 0, 2), [0, 0])
        self.assertEqual(self.store.batch_pub_tensor(["e"], [self.tensor()], config), [-600])
        config.group_ids, config.nof_replica_num = None, 1
        self.assertEqual(self.store.pub_tensor("f", self.tensor(), config), -1012)

    def test_from_and_into_memory(self):
        store, tensor = self.store, self.tensor()
        start, size = self.in_memory(tensor)
        self.assertEqual(store.put_tensor_from("a", start, size), 0)
        self.assert_same(store.get_tensor("a"), tensor)
        self.assertEqual(store.batch_put_tensor_from(["b", "c"], [start, start], [size, size - 1]), [0, -600])
        self.assertEqual(store.put_tensor_from("d", start + self.SIZE, size), -600)
        found = store.get_tensor_into("a", start + 4096, 4096)
        self.assert_same(found, tensor)
        self.assertEqual(found.data_ptr(), start + 4096 + HEADER)
        self.assertIsNone(store.get_tensor_into("a", start + 4096, size - 1))
        one, none = store.batch_get_tensor_into(["a", "nobody"], [start + 8192, start + 12288], [4096, 4096])
        self.assert_same(one, tensor)
        self.assertIsNone(none)
        start, size = self.in_memory(self.tensor((2,), 7))
        self.assertEqual(store.upsert_tensor_from("a", start, size), 0)
        self.assert_same(store.get_tensor("a"), self.tensor((2,), 7))

    def test_tensor_parallelism(self):
        store, tensor = self.store, self.tensor()
        for key, dimension in (("rows", 0), ("columns", 1)):
            self.assertEqual(store.put_tensor_with_tp(key, tensor, tp_size=2, split_dim=dimension), 0)
            for rank in range(2):
                extent = tensor.shape[dimension] // 2
                self.assert_same(store.get_tensor_with_tp(key, tp_rank=rank, tp_size=2, split_dim=dimension),
                                 tensor.narrow(dimension, rank * extent, extent))
        self.assertEqual(store.batch_is_exist(["rows_tp_0", "rows_tp_1", "rows"]), [1, 1, 0])
        self.assertEqual(store.put_tensor_with_tp("odd", tensor, tp_size=4, split_dim=1), -600)
        self.assertEqual(store.put_tensor_with_tp("odd", tensor, tp_size=2, split_dim=2), -600)
        self.assertEqual(store.put_tensor_with_tp("one", tensor), 0)
        self.assert_same(store.get_tensor_with_tp("one"), tensor)
        start, size = self.in_memory(tensor)
        self.assertEqual(store.batch_put_tensor_with_tp_from(["m"], [start], [size], tp_size=3, split_dim=1), [0])
        (found,) = store.batch_get_tensor_with_tp_into(["m"], [start + 4096], [4096], tp_rank=2, tp_size=3)
        self.assert_same(found, tensor.narrow(1, 4, 2))
        self.assertEqual(store.batch_get_tensor_with_tp(["m", "no"], tp_rank=9, tp_size=10), [None, None])

    def test_a_part_in_very_many_ranges(self):
        tensor = self.tensor((5000, 2))
        self.assertEqual(self.store.put_tensor_with_tp("k", tensor, tp_size=2, split_dim=1), 0)
        self.assert_same(self.store.get_tensor_with_tp("k", 1, 2), tensor.narrow(1, 1, 1))

    def test_axes(self):
        store, tensor = self.store, self.tensor()
        axes = [axis("dp", 1, 2), axis("tp", 0, 2, 1)]
        self.assertEqual(store.put_tensor_with_parallelism("a", tensor, parallelism(*axes)), 0)
        wanted = target("shard", axis("tp", 1, 2, 1), axis("dp", 1, 2))
        self.assert_same(store.get_tensor_with_parallelism("a", wanted), tensor.narrow(1, 3, 3))
        self.assert_same(store.get_tensor_with_parallelism("a", target("full", *axes)), tensor)
        self.assertIsNone(store.get_tensor_with_parallelism("a", target("shard", axis("dp", 0, 2))))
        self.assertEqual(store.put_tensor_with_parallelism("b", tensor, parallelism(axis("zz", 0, 1))), -600)
        with self.assertRaises(RuntimeError):
            target("half")
        with self.assertRaises(TypeError):
            store.get_tensor_with_parallelism("a", "full")

    def test_what_was_put_in_another_way_is_cut_and_joined(self):
        store, tensor = self.store, self.tensor()
        self.assertEqual(store.put_tensor("whole", tensor), 0)
        self.assertEqual(store.put_tensor_with_tp("parts", tensor, tp_size=2, split_dim=0), 0)
        for rank in range(2):
            self.assertEqual(store.put_tensor_with_parallelism("writers", tensor, writer_partition=(rank, 2, 1)), 0)
        for key in ("whole", "parts", "writers"):
            self.assert_same(store.get_tensor_with_parallelism(key, target("full")), tensor)
            self.assert_same(store.get_tensor_with_parallelism(key, target("shard", axis("tp", 2, 3, 1))),
                             tensor.narrow(1, 4, 2))
        found = store.get_tensor_with_parallelism_into("writers", self.memory, 4096, target("full"))
        self.assert_same(found, tensor)
        self.assertEqual(found.data_ptr(), self.memory + HEADER)
        self.assertIsNone(store.get_tensor_with_parallelism_into("writers", self.memory, HEADER, target("full")))
        code = store.put_tensor_with_parallelism("x", tensor, parallelism(axis("tp", 0, 2, 0)), None, (0, 2, 0))
        self.assertEqual(code, -600)

    def test_a_missing_writer_is_no_tensor(self):
        self.assertEqual(
            self.store.put_tensor_with_parallelism("k", self.tensor(), writer_partition=(0, 2, 0)), 0)
        self.assertIsNone(self.store.get_tensor_with_parallelism("k", target("full")))

    def test_batches_with_axes(self):
        store, tensor = self.store, self.tensor()
        self.assertEqual(store.batch_put_tensor_with_parallelism(
            ["a", "b"], [tensor, tensor], [parallelism(axis("tp", 0, 2, 0)), None]), [0, 0])
        first, second = store.batch_get_tensor_with_parallelism(
            ["a", "b"], [target("shard", axis("tp", 1, 2, 0)), None])
        self.assert_same(first, tensor.narrow(0, 2, 2))
        self.assert_same(second, tensor)
        start, size = self.in_memory(self.tensor((4, 6), 100))
        self.assertEqual(store.batch_upsert_tensor_with_parallelism_from(["b"], [start], [size]), [0])
        self.assert_same(store.get_tensor("b"), self.tensor((4, 6), 100))

    def test_files(self):
        store, tensor = self.store, self.tensor()
        self.assertEqual(store.put_tensor("k", tensor), 0)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "t.safetensors")
            self.assertEqual(store.save_tensor_to_safetensor("k", path), 0)
            with open(path, "rb") as file:
                data = file.read()
            self.assertEqual(data[-len(tensor.tobytes()):], tensor.tobytes())
            self.assertIn(b'"dtype": "I32"', data)
            self.assertEqual(store.remove("k"), 0)
            self.assert_same(store.load_tensor_from_safetensor("k", path), tensor)
            self.assert_same(store.get_tensor("k"), tensor)
            self.assert_same(store.load_tensor_from_safetensor(file_name=path), tensor)
            self.assertEqual(store.is_exist(path), 1)
            self.assertEqual(store.save_tensor_to_safetensor("nobody", path), -1100)
            self.assertIsNone(store.load_tensor_from_safetensor("k", path + "x"))
            with open(path, "wb") as file:
                file.write(b"no header")
            self.assertIsNone(store.load_tensor_from_safetensor("k", path))

    def test_headers(self):
        tensor = self.tensor()
        header, start, size, owner = module._serialize_tensor(tensor)
        self.assertEqual((len(header), module._tensor_metadata_size(), size), (HEADER, HEADER, 96))
        self.assertEqual(struct.unpack_from("<IHHii", header), (0x4D4F4F4E, 1, HEADER, 6, 2))
        self.assertEqual(struct.unpack_from("<QQ8q", header, 24), (HEADER, 96, 4, 6, -1, -1, -1, -1, -1, -1))
        self.assert_same(module._deserialize_tensor(header + ctypes.string_at(start, size)), owner)
        for at, value in ((0, 0), (6, 1), (8, 99), (12, 9), (16, 7), (32, 95), (168, 5)):
            broken = bytearray(header + ctypes.string_at(start, size))
            broken[at] = value
            with self.assertRaises(ValueError, msg=str(at)):
                module._deserialize_tensor(bytes(broken))

    def test_without_torch(self):
        self.assertEqual(self.store.put_tensor("k", self.tensor()), 0)
        with torch_stand_in.absent():
            for call in (lambda: self.store.get_tensor("k"), lambda: self.store.get_tensor_into("k", self.memory, 4096),
                         lambda: self.store.get_tensor_with_parallelism("k"),
                         lambda: self.store.batch_get_tensor_with_tp(["k"], 0, 2)):
                with self.assertRaisesRegex(ImportError, "torch is needed"):
                    call()
            self.assertEqual(self.store.put_tensor("again", self.tensor()), 0)

    def test_before_setup(self):
        store = module.MooncakeDistributedStore()
        self.assertEqual((store.put_tensor("k", self.tensor()), store.get_tensor("k")), (-600, None))


@unittest.skipUnless(torch_stand_in.real(), "torch is not installed")
class RealTorchTests(ConsumerTests):
    def test_tensors_of_torch(self):
        torch = torch_stand_in.real()
        store = self.store
        self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", self.mesh.node), 0)
        for tensor in (torch.arange(24).reshape(4, 6).t(), torch.randn(3, 4).bfloat16(), torch.tensor(True)):
            self.assertEqual(store.upsert_tensor("k", tensor), 0)
            self.assertTrue(torch.equal(store.get_tensor("k"), tensor))
        tensor = torch.randn(4, 6)
        self.assertEqual(store.put_tensor_with_tp("t", tensor, tp_size=2, split_dim=1), 0)
        wanted = target("full")
        self.assertTrue(torch.equal(store.get_tensor_with_parallelism("t", wanted), tensor))
