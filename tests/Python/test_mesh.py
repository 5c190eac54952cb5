# SPDX-License-Identifier: Apache-2.0
"""mooncake_mesh in a mesh of this process alone."""

import asyncio
import unittest

import mooncake_mesh
from mooncake_mesh import AsyncMesh, InvalidArgument, Mesh, NotFound, PutOptions


class MeshTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh(registry="embedded", segment_size="64MiB")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.close()

    def setUp(self):
        self.mesh.remove_all()

    def test_every_kind_of_key_comes_back(self):
        keys = ["a/b//c", "/lead", "../../etc/passwd", "a b\tc", "k:@#?%00", "\u6a21\u578b/7", "\u00e9", "e\u0301", "x",
                "n" * 4096, "m" * 65536, b"a\0b", b"\xff"]
        for number, key in enumerate(keys):
            self.mesh.put(key, bytes([number]) * 1024)
        for number, key in enumerate(keys):
            self.assertEqual(self.mesh.get(key), bytes([number]) * 1024)
            self.assertTrue(self.mesh.remove(key))
        with self.assertRaises(InvalidArgument):
            self.mesh.put("k" * 65537, b"")
        with self.assertRaises(InvalidArgument):
            self.mesh.put("", b"")

    def test_the_first_value_stays_unless_replaced(self):
        self.mesh.put("k", b"first")
        self.mesh.put("k", b"second")
        self.assertEqual(self.mesh.get("k"), b"first")
        self.mesh.put("k", b"third", PutOptions(replace=True))
        self.assertEqual(self.mesh.get("k"), b"third")

    def test_buffers_of_all_kinds(self):
        for value in (b"12", bytearray(b"12"), memoryview(b"12")):
            self.mesh.put("k", value, PutOptions(replace=True))
            self.assertEqual(self.mesh.get("k"), b"12")
        into = bytearray(b"\xee" * 4)
        self.assertEqual(self.mesh.get_into("k", into), 2)
        self.assertEqual(into, b"12\xee\xee")
        with self.assertRaises(InvalidArgument):
            self.mesh.get_into("k", bytearray(1))
        with self.assertRaises(BufferError):
            self.mesh.get_into("k", b"read only")
        with self.assertRaises(TypeError):
            self.mesh.put("k", "text")

    def test_a_view_keeps_the_bytes(self):
        self.mesh.put("k", b"hello")
        view = self.mesh.view("k")
        part = view.data[1:3]
        view.close()
        self.mesh.remove("k")
        self.assertTrue(part.readonly)
        self.assertEqual(bytes(part), b"el")

    def test_failures_have_code_and_text(self):
        with self.assertRaises(NotFound) as caught:
            self.mesh.get("nobody")
        self.assertEqual(caught.exception.code, -704)
        self.assertFalse(self.mesh.remove("nobody"))

    def test_batches(self):
        self.assertEqual(self.mesh.put_batch(["a", "b"], [b"1", b"22"]), [0, 0])
        self.assertEqual(self.mesh.exists_batch(["a", "", "c"]), [1, -600, 0])
        self.assertEqual(self.mesh.match_prefix(["a", "b", "c"]), 2)
        self.assertEqual([one.size for one in self.mesh.locate(["a", "c"])], [1, -704])

    def test_asyncio(self):
        async def calls():
            async with await AsyncMesh.open(registry="embedded", segment_size="16MiB") as mesh:
                await asyncio.gather(*[mesh.put(f"k{i}", b"1") for i in range(8)])
                return await mesh.get("k7")

        self.assertEqual(asyncio.run(calls()), b"1")

    def test_version(self):
        self.assertRegex(mooncake_mesh.version(), r"^\d+\.\d+\.\d+")
