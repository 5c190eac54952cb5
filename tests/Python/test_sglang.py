# SPDX-License-Identifier: Apache-2.0
"""The calls of SGLang's HiCache: eight positional arguments and keywords, a warm-up, pages without a copy."""

from consumer import ConsumerTests
from mooncake.store import ReplicateConfig

PAGE = 8192


class HiCacheTests(ConsumerTests):
    def test_its_calls(self):
        store = self.store
        self.assertEqual(store.setup(
            "localhost", "P2PHANDSHAKE", 0, 16 << 20, "tcp", "", self.mesh.node, None, enable_ssd_offload=False,
            ssd_offload_path="", tenant_id="default", enable_client_http_server=False, client_http_port=9300), 0)
        warm = bytes(4096)
        self.assertEqual((store.put("warm", warm), store.is_exist("warm"), store.get("warm")), (0, 1, warm))
        self.assertEqual(store.register_buffer(self.memory, self.SIZE), 0)
        keys = [f"page_{i}_{part}" for i in range(4) for part in "kv"]
        places = [self.write(i * PAGE, bytes([i + 1]) * PAGE) for i in range(8)]
        self.assertEqual(store.batch_is_exist(keys), [0] * 8)
        config = ReplicateConfig()
        self.assertTrue(hasattr(config, "group_ids"))
        config.group_ids = [key[:6] for key in keys]
        self.assertEqual(store.batch_put_from(keys, places, [PAGE] * 8, config), [0] * 8)
        targets = [place + 8 * PAGE for place in places]
        self.assertEqual(store.batch_get_into(keys, targets, [PAGE] * 8), [PAGE] * 8)
        self.assertEqual(self.read(0, 8 * PAGE), self.read(8 * PAGE, 8 * PAGE))
        self.assertEqual(store.batch_put_from_multi_buffers(["m"], [places[:2]], [[PAGE] * 2]), [0])
        self.assertEqual(store.batch_get_into_multi_buffers(["m"], [targets[:2]], [[PAGE] * 2]), [2 * PAGE])
        self.assertEqual(store.remove_all(), 10)
