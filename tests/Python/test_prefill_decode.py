# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode in two processes, with mooncake.engine: session ids are exchanged, then pages written."""

import multiprocessing
import unittest

from mooncake.engine import TransferEngine

PAGE, PAGES = 65536, 16


def decode(pipe):
    engine = TransferEngine()
    code = engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", "")
    memory = engine.allocate_managed_buffer(PAGE * PAGES)
    pipe.send((code, f"127.0.0.1:{engine.get_rpc_port()}", memory))
    while pipe.recv():
        pipe.send(engine.read_bytes_from_buffer(memory, PAGE * PAGES))


class PrefillDecodeTests(unittest.TestCase):
    def test_pages_go_over(self):
        processes = multiprocessing.get_context("spawn")
        pipe, end = processes.Pipe()
        other = processes.Process(target=decode, args=(end,), daemon=True)
        other.start()
        code, session, there = pipe.recv()
        self.assertEqual(code, 0)
        engine = TransferEngine()
        self.assertEqual(engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", ""), 0)
        here = engine.allocate_managed_buffer(PAGE * PAGES)
        for turn, call in enumerate((engine.batch_transfer_sync_write, engine.batch_transfer_async_write)):
            data = b"".join(bytes([turn * 64 + i]) * PAGE for i in range(PAGES))
            engine.write_bytes_to_buffer(here, data, len(data))
            places = range(0, PAGE * PAGES, PAGE)
            code = call(session, [here + at for at in places], [there + at for at in places], [PAGE] * PAGES)
            if turn:
                self.assertGreater(code, 0)
                code = engine.get_batch_transfer_status([code])
            self.assertEqual(code, 0)
            pipe.send(True)
            self.assertEqual(pipe.recv(), data)
        pipe.send(False)
        other.join(20)
        self.assertEqual(other.exitcode, 0)
