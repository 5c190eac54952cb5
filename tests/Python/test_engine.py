# SPDX-License-Identifier: Apache-2.0
"""Two engines of mooncake.engine."""

import unittest

from mooncake.engine import TransferEngine, TransferNotify, TransferOpcode


class EngineTests(unittest.TestCase):
    def test_bytes_and_a_message_go_over(self):
        one, two = TransferEngine(), TransferEngine()
        for engine in (one, two):
            self.assertEqual(engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", ""), 0)
        here, there = one.allocate_managed_buffer(4096), two.allocate_managed_buffer(4096)
        peer = f"127.0.0.1:{two.get_rpc_port()}"
        self.assertEqual(one.write_bytes_to_buffer(here, b"hello", 5), 0)
        self.assertEqual(one.transfer_sync_write(peer, here, there, 5), 0)
        self.assertEqual(two.read_bytes_from_buffer(there, 5), b"hello")
        self.assertEqual(one.get_first_buffer_address(peer), there)
        self.assertEqual(one.batch_transfer_sync_read(peer, [here + 8, here + 16], [there, there], [5, 5]), 0)
        batch = one.batch_transfer_async_write(peer, [here], [there + 64], [5])
        self.assertGreater(batch, 0)
        self.assertEqual(one.get_batch_transfer_status([batch]), 0)
        self.assertEqual(one.transfer_sync(peer, here, there, 5, TransferOpcode.Write, TransferNotify("n", "m")), 0)
        self.assertEqual([(n.name, n.msg) for n in two.get_notifies()], [("n", "m")])
        self.assertLess(one.transfer_sync_write(peer, 4096, there, 5), 0)
        self.assertEqual(one.free_managed_buffer(here, 4096), 0)
