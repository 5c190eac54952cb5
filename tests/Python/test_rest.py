# SPDX-License-Identifier: Apache-2.0
"""The calls of the REST service: a dict, and memory that comes and goes."""

import time

from consumer import ConsumerTests


class ServiceTests(ConsumerTests):
    def test_its_calls(self):
        store, etcd = self.store, "etcd://" + self.mesh.etcd
        given = {"local_hostname": "localhost", "metadata_server": etcd, "global_segment_size": "16MB",
                 "local_buffer_size": 16 << 20, "protocol": "tcp", "rdma_devices": "", "master_server_addr": etcd}
        self.assertEqual(store.setup(given), 0)
        self.assertEqual((store.put("k", b"value"), store.get("k"), store.is_exist("k")), (0, b"value", 1))
        mounted = store.allocate_and_mount_segment(8 << 20)
        self.assertEqual((mounted["ret"], len(mounted["segment_ids"]), mounted["allocated_size"]), (0, 1, 8 << 20))
        self.assertEqual(store.unmount_and_free_segment(mounted["segment_ids"], grace_period_seconds=0), 0)
        self.assertEqual(store.unmount_local_disk_segment(0), -1012)
        self.assertEqual((store.remove("k"), store.remove("k"), store.remove_all()), (0, -704, 0))
        # What this process held is gone with it. "near" is itself.
        self.assertEqual((store.put("gone", b"1"), store.close(), store.setup(given)), (0, 0, 0))
        until = time.monotonic() + 10
        while store.is_exist("gone") != 0 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(store.is_exist("gone"), 0)
