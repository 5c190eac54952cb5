# SPDX-License-Identifier: Apache-2.0
"""What the environment says: PYTHONHASHSEED, MC_*, MOONCAKE_* and the file of settings."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from mesh_process import MeshProcess
from mooncake import _environment, _setup
from mooncake.mooncake_config import MooncakeConfig
from mooncake.store import MooncakeDistributedStore

OPEN = """
import logging, sys
logging.basicConfig(format="%(message)s")
from mooncake.store import MooncakeDistributedStore
store = MooncakeDistributedStore()
assert store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", sys.argv[1]) == 0
"""
LOOK = OPEN + """
own = [f"own{i}" for i in range(600)]
assert store.put_batch(own, [b"1"] * len(own)) == 0
for turn in range(int(sys.argv[2])):
    store.batch_is_exist(own + [f"{turn}/{i}" for i in range(600)])
if len(sys.argv) > 3:
    store.batch_is_exist([sys.argv[3]])
    for turn in range(8):
        store.batch_is_exist([f"later/{turn}/{i}" for i in range(1000)])
"""


class HashSeedTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = MeshProcess()
        cls.store = MooncakeDistributedStore()
        assert cls.store.setup("localhost", "P2PHANDSHAKE", 0, 1 << 20, "tcp", "", cls.mesh.node) == 0
        keys = [f"theirs{i}" for i in range(1000)]
        assert cls.store.put_batch(keys, [b"1"] * len(keys)) == 0

    @classmethod
    def tearDownClass(cls):
        cls.store.close()
        cls.mesh.close()

    def setUp(self):
        self.store.remove_by_regex("^own")

    def warnings(self, *arguments, seed=None):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
        if seed is not None:
            environment["PYTHONHASHSEED"] = seed
        ended = subprocess.run([sys.executable, "-c", LOOK, self.mesh.node, *map(str, arguments)], env=environment,
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stderr.count("set PYTHONHASHSEED to the same number")

    def test_it_is_said_once(self):
        self.assertEqual(self.warnings(8), 1)

    def test_nothing_is_said_where_a_seed_is_set(self):
        self.assertEqual(self.warnings(8, seed="0"), 0)
        self.assertEqual(self.warnings(8, seed="random"), 1)

    def test_nothing_is_said_after_few_lookups(self):
        self.assertEqual(self.warnings(0), 0)

    def test_nothing_is_said_once_a_key_of_another_was_found(self):
        self.assertEqual(self.warnings(0, "theirs7"), 0)


class VariableTests(unittest.TestCase):
    def setUp(self):
        _setup._seen.clear()

    def test_variables_of_mooncake(self):
        apply = _environment.apply
        self.assertEqual(apply({"transport": "rdma"}, {}), {"transport": "rdma"})
        self.assertEqual(apply({"transport": "rdma"}, {"MC_FORCE_TCP": "1"}), {"transport": "tcp"})
        self.assertEqual(apply({}, {"MC_STORE_CLUSTER_ID": "c"}), {"cluster": "c"})
        self.assertEqual(apply({}, {"MC_STORE_CLUSTER_ID": "c", "MOONCAKE_MESH_CLUSTER": "d"}), {})
        self.assertEqual(apply({}, {"MC_TRANSFER_TIMEOUT": "30"}),
                         {"get_timeout_ms": 30000, "put_timeout_ms": 30000})
        with self.assertLogs("mooncake.store", "WARNING") as said:
            self.assertEqual(apply({}, {"MC_GID_INDEX": "3", "MC_TRANSFER_TIMEOUT": "soon"}), {})
            apply({}, {"MC_GID_INDEX": "3"})
        self.assertEqual(len(said.output), 2)
        self.assertIn("MC_GID_INDEX has no effect here: it is a node's setting, rdma.gidIndex", "".join(said.output))

    def test_a_log_level(self):
        logger = logging.getLogger("mooncake")
        before = logger.level
        try:
            _environment.apply({}, {"MC_LOG_LEVEL": "error"})
            self.assertEqual(logger.level, logging.ERROR)
        finally:
            logger.setLevel(before)

    def test_they_reach_a_store(self):
        mesh = MeshProcess()
        store = MooncakeDistributedStore()
        given = ("localhost", "P2PHANDSHAKE", 0, 1 << 20, "rdma", "", mesh.node)
        try:
            # Without a device, rdma is refused.
            with self.assertLogs("mooncake.store", "ERROR"):
                self.assertNotEqual(store.setup(*given), 0)
            with mock.patch.dict(os.environ, {"MC_FORCE_TCP": "1"}):
                self.assertEqual(store.setup(*given), 0)
            self.assertEqual(store.put("k", b"1"), 0)
            with mock.patch.dict(os.environ, {"MC_FORCE_TCP": "1", "MC_STORE_CLUSTER_ID": "another"}), \
                    self.assertLogs("mooncake.store", "ERROR"):
                self.assertNotEqual(store.setup(*given), 0)
        finally:
            store.close()
            mesh.close()


class ConfigTests(unittest.TestCase):
    def test_a_file(self):
        given = {"local_hostname": "h", "metadata_server": "etcd://e:1", "master_server_address": "n:1",
                 "protocol": "tcp", "device_name": "d", "global_segment_size": "4GB", "local_buffer_size": 1024}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "mooncake.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(given, file)
            with mock.patch.dict(os.environ, {"MOONCAKE_CONFIG_PATH": path, "MOONCAKE_MASTER": "other:1"}):
                self.assertEqual(vars(MooncakeConfig.load_from_env()), {**given, "global_segment_size": 4 << 30})

    def test_variables(self):
        with mock.patch.dict(os.environ, {"MOONCAKE_MASTER": "n:1", "MOONCAKE_GLOBAL_SEGMENT_SIZE": "1GB",
                                          "MOONCAKE_PROTOCOL": "rdma", "MOONCAKE_DEVICE": "d"}):
            os.environ.pop("MOONCAKE_CONFIG_PATH", None)
            config = MooncakeConfig.load_from_env()
        self.assertEqual((config.master_server_address, config.global_segment_size, config.protocol,
                          config.device_name, config.metadata_server), ("n:1", 1 << 30, "rdma", "d", "P2PHANDSHAKE"))

    def test_neither(self):
        with mock.patch.dict(os.environ):
            for name in ("MOONCAKE_CONFIG_PATH", "MOONCAKE_MASTER"):
                os.environ.pop(name, None)
            with self.assertRaises(ValueError):
                MooncakeConfig.load_from_env()

    def test_what_init_all_reads(self):
        mesh = MeshProcess()
        store = MooncakeDistributedStore()
        try:
            with mock.patch.dict(os.environ, {"MOONCAKE_MASTER": mesh.node}):
                os.environ.pop("MOONCAKE_CONFIG_PATH", None)
                self.assertEqual(store.init_all("tcp", "", 0), 0)
            self.assertEqual((store.put("k", b"1"), store.get("k")), (0, b"1"))
        finally:
            store.close()
            mesh.close()
