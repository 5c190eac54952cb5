# SPDX-License-Identifier: Apache-2.0
"""The calls of LMCache's connector: metadata and bytes in parts, handles that are read as buffers."""

from consumer import ConsumerTests
from mooncake.store import ReplicateConfig


class ConnectorTests(ConsumerTests):
    def test_its_calls(self):
        store = self.store
        self.assertEqual(store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", self.mesh.node), 0)
        config = ReplicateConfig()
        config.replica_num, config.preferred_segment = 1, store.get_hostname()
        self.assertEqual(store.register_buffer(self.memory, self.SIZE), 0)
        key = "vllm@/models/x@1@0@5f3a"
        self.assertEqual((store.is_exist(key), store.batch_get_buffer([key])), (0, [None]))
        metadata, data = bytes(range(28)), b"kv" * 500
        self.assertEqual(store.put_parts(key, metadata, memoryview(bytearray(data))), 0)
        (handle,) = store.batch_get_buffer([key])
        view = memoryview(handle)
        self.assertEqual((bytes(view[:28]), bytes(view[28:])), (metadata, data))
        start = self.write(0, data)
        self.assertEqual(store.put_from(key + "b", start, len(data), config), 0)
        self.assertEqual(store.batch_get_into([key + "b"], [start + 4096], [len(data)]), [len(data)])
        self.assertEqual(self.read(4096, len(data)), data)
        self.assertEqual(store.unregister_buffer(self.memory), 0)
