# SPDX-License-Identifier: Apache-2.0
"""Memory of a GPU, and streams, by the double of the driver; each in a process of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent


@unittest.skipUnless(shutil.which("gcc"), "gcc is not installed")
class CudaTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="mesh-cuda-")
        cls.addClassCleanup(folder.cleanup)
        cls.driver = f"{folder.name}/libcuda.so.1"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O0", "-pthread", "-DDEVICES=1", "-o", cls.driver,
                        HERE.parent / "Cuda.Tests/Double/CudaDouble.c"], check=True)

    def run_program(self, what):
        ended = subprocess.run([sys.executable, HERE / "cuda_program.py", what], capture_output=True, text=True,
                               timeout=300, env={**os.environ, "MCM_LIBCUDA": self.driver})
        self.assertEqual((ended.returncode, ended.stdout), (0, "ok\n"), ended.stderr)

    def test_transfers_on_streams(self):
        self.run_program("engines")

    def test_the_client_on_streams(self):
        self.run_program("mesh")
