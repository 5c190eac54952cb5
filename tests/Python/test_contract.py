# SPDX-License-Identifier: Apache-2.0
"""Every name, parameter, default and number of the contract; what a mesh has not answers -1012."""

import ctypes
import inspect
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import contract
from consumer import ConsumerTests
from mooncake import async_store, buffer_pool, engine, store
from mooncake.store import MooncakeDistributedStore, ReplicateConfig


def calls(text):
    """The name and the parameters of each call of a list."""
    return re.findall(r"(\w+)\(([^)]*)\)", text.replace("\n", " "))


def parameters(function):
    """The parameters of a method as the list writes them."""
    found = list(inspect.signature(function).parameters.values())[1:]
    return ", ".join(str(one.replace(annotation=inspect.Parameter.empty)) for one in found)


class ContractTests(unittest.TestCase):
    def assert_has(self, kind, text):
        listed = calls(text)
        self.assertGreater(len(listed), 3)
        for name, wanted in listed:
            function = getattr(kind, name, None)
            self.assertTrue(callable(function), name)
            self.assertEqual(parameters(function), wanted.strip(), name)

    def test_calls_of_the_store(self):
        self.assert_has(MooncakeDistributedStore, contract.STORE)
        self.assert_has(MooncakeDistributedStore, contract.TENSORS)

    def test_calls_of_the_engine(self):
        self.assert_has(engine.TransferEngine, contract.ENGINE)
        self.assertEqual((int(engine.TransferOpcode.Read), int(engine.TransferOpcode.Write)), (0, 1))

    def test_calls_of_the_pool(self):
        self.assert_has(buffer_pool.BufferPool, contract.POOL)
        self.assertIs(buffer_pool.RegisteredBufferPool, buffer_pool.BufferPool)
        made = parameters(buffer_pool.BufferPool.__init__)
        self.assertEqual(made, "store, max_bytes=0, min_size_class=65536, max_size_class=None, alignment=8388608, "
                               "block_on_exhaustion=True, default_timeout=None, max_regions=None, prewarm_size=None, "
                               "prewarm_count=0")

    def test_names(self):
        for name in contract.NAMES.split():
            self.assertTrue(hasattr(store, name), name)
        self.assertTrue(issubclass(async_store.MooncakeDistributedStoreAsync, MooncakeDistributedStore))

    def test_every_call_of_the_store_is_there_to_be_awaited(self):
        awaited = async_store.MooncakeDistributedStoreAsync()
        for name, _ in calls(contract.STORE + contract.TENSORS):
            self.assertTrue(inspect.iscoroutinefunction(getattr(awaited, "async_" + name)), name)
        with self.assertRaises(AttributeError):
            awaited.async_nothing

    def test_numbers(self):
        for kind, names in contract.ENUMS.items():
            members = getattr(store, kind).__members__
            self.assertEqual(list(members), names.split())
            self.assertEqual([int(one) for one in members.values()], list(range(len(members))))
            for name in members:
                self.assertTrue(hasattr(store, name), name)

    def test_a_config_begins_as_it_should(self):
        config = ReplicateConfig()
        for name, wanted in contract.CONFIG.items():
            found = getattr(config, name)
            self.assertEqual((found, type(wanted) is bool), (wanted, type(found) is bool), name)
            setattr(config, name, found)
        with self.assertRaises(AttributeError):
            config.replicas = 2

    def test_wrong_arguments_are_type_errors(self):
        empty = MooncakeDistributedStore()
        for name, wanted in calls(contract.STORE + contract.TENSORS):
            needed = [one for one in wanted.split(", ") if one and "=" not in one and not one.startswith("*")]
            with self.assertRaises(TypeError, msg=name):
                getattr(empty, name)(no_such_argument=1)
            if needed:
                with self.assertRaises(TypeError, msg=name):
                    getattr(empty, name)()


class NotOfferedTests(ConsumerTests):
    def test_they_answer_so(self):
        store_ = self.store
        self.assertEqual(store_.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", self.mesh.node,
                                      enable_ssd_offload=True, ssd_offload_path="/nowhere"), 0)
        for field in ("nof_replica_num", "dfs_replica_num"):
            config = ReplicateConfig()
            setattr(config, field, 1)
            self.assertEqual(store_.put("k", b"1", config), -1012)
        config = ReplicateConfig()
        config.preferred_nof_segments = ["n"]
        self.assertEqual(store_.put_batch(["k"], [b"1"], config), -1012)
        self.assertEqual(store_.create_copy_task("k", ["a"]), ((0, 0), -1012))
        self.assertEqual(store_.create_move_task("k", "a", "b"), ((0, 0), -1012))
        self.assertEqual(store_.query_task((0, 1)), (None, -1400))
        self.assertEqual(store_.mount_segment("/dev/shm/x", 1 << 20), {"ret": -1012, "segment_ids": []})
        self.assertEqual((store_.unmount_local_disk_segment(), store_.get_offload_rpc_read_count()), (-1012, 0))
        tables = store.EngramStore(0, store.EngramStoreConfig(), store_)
        for call in (tables.populate, tables.lookup, tables.remove_from_store, tables.get_num_heads):
            self.assertEqual(call(), -1012)
        register = store.MooncakeDistributedNoFRegister()
        self.assertEqual((register.setup("a"), register.mount_segment("b"), register.close()), (-1012, -1012, 0))

    def test_the_pool_of_a_client_without_memory(self):
        store_ = self.store
        self.assertEqual(store_.alloc_from_mem_pool(1), 0)
        self.assertEqual(store_.setup_dummy(8192, 1 << 20, self.mesh.node), 0)
        first, second = store_.alloc_from_mem_pool(4096), store_.alloc_from_mem_pool(4000)
        self.assertTrue(first and second == first + 4096)
        self.assertEqual((store_.alloc_from_mem_pool(4096), store_.alloc_from_mem_pool(0)), (0, 0))
        # It is registered, and may be registered again.
        self.assertEqual((store_.register_buffer(first, 4096), store_.unregister_buffer(first)), (0, 0))
        self.assertEqual((store_.put("k", b"hello"), store_.get_into("k", second, 4000)), (0, 5))
        self.assertEqual(store_.put_from("l", second, 5), 0)
        self.assertEqual(store_.get("l"), b"hello")
        self.assertEqual((store_.close(), store_.alloc_from_mem_pool(1)), (0, 0))

    def test_memory_from_functions_of_c(self):
        take = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(store.get_alloc_func_addr())
        free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(store.get_free_func_addr())
        memory = take(10000)
        self.assertEqual(memory % 4096, 0)
        ctypes.memset(memory, 1, 10000)
        free(memory)


class OriginalTests(unittest.TestCase):
    def test_beside_ours_it_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("mooncake-transfer-engine", "mooncake-transfer-engine-non-cuda"):
                info = Path(folder, f"{name.replace('-', '_')}-0.3.12.dist-info")
                info.mkdir()
                (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3.12\n")
                ended = subprocess.run(
                    [sys.executable, "-c", "import sys; sys.path.append(sys.argv[1]); import mooncake.store", folder],
                    capture_output=True, text=True, timeout=60)
                self.assertEqual(ended.returncode, 1)
                self.assertIn(f"ImportError: mooncake-mesh-compat and {name} cannot be installed side by side",
                              ended.stderr)
                (info / "METADATA").unlink()
                info.rmdir()
