# SPDX-License-Identifier: Apache-2.0
"""A real mesh for tests: an etcd and a node, each a process, on ports that were free."""

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def free_port():
    # Below those that the kernel gives to outgoing connections: one of these could take it before its program does.
    for _ in range(100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
                return listener.getsockname()[1]
            except OSError:
                continue
    raise RuntimeError("no port is free")


class MeshProcess:
    """etcd and a node; program: MOONCAKE_MESH_NODE."""

    def __init__(self, memory="64MiB"):
        self._folder = tempfile.TemporaryDirectory(prefix="mesh-python-")
        self._processes = []
        self.etcd = f"127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{free_port()}"
        self._start(os.environ.get("MOONCAKE_MESH_TEST_ETCD", "etcd"), "--name", "m", "--data-dir",
                    f"{self._folder.name}/etcd", "--unsafe-no-fsync", "--logger", "zap", "--log-level", "error",
                    "--listen-client-urls", f"http://{self.etcd}", "--advertise-client-urls", f"http://{self.etcd}",
                    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                    "--initial-cluster", f"m={peer}")
        self._wait_for(self.etcd)
        node = self._start(os.environ["MOONCAKE_MESH_NODE"], "serve", "--json", "--node-id", "n0", "--etcd-endpoints",
                           self.etcd, "--segments", memory + ",hugePages=false,preTouch=false", "--lease-ttl", "3s",
                           "--runtime-directory", f"{self._folder.name}/n0", output=subprocess.PIPE)
        self.node = json.loads(node.stdout.readline())["endpoint"]

    def _start(self, *command, output=subprocess.DEVNULL):
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def _wait_for(self, endpoint):
        host, port = endpoint.split(":")
        for _ in range(3000):
            # Our own process: another's that has the port must not be taken for it.
            if self._processes[0].poll() is not None:
                raise RuntimeError("etcd ended")
            try:
                socket.create_connection((host, int(port))).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("etcd does not answer")

    @property
    def node_pid(self):
        return self._processes[1].pid

    def pause(self):
        """Stops the node as it is: nobody answers, and no connection ends."""
        os.kill(self.node_pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.node_pid, signal.SIGCONT)

    def close(self):
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._folder.cleanup()
