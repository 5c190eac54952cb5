# SPDX-License-Identifier: Apache-2.0
"""The library in a process that forks, is interrupted, or ends."""

import subprocess
import sys
import unittest

OPEN = "import os, signal, sys, threading, time, faulthandler; faulthandler.enable()\nimport mooncake_mesh\n" \
       "mesh = mooncake_mesh.open(registry='embedded', segment_size='64MiB')\n"


class ProcessTests(unittest.TestCase):
    def run_program(self, text):
        ended = subprocess.run([sys.executable, "-c", OPEN + text], capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout.strip(), ended.stderr

    def test_a_forked_child_is_refused(self):
        code, said, errors = self.run_program(
            "mesh.put('k', b'1')\nif os.fork() == 0:\n"
            "    try: mesh.get('k')\n    except mooncake_mesh.Forked as e: print(e.code, flush=True)\n    os._exit(0)\n"
            "os.wait()\nprint(mesh.get('k'))")
        self.assertEqual((code, said.split()), (0, ["-2002", "b'1'"]), errors)

    def test_it_ends_with_calls_in_flight(self):
        code, said, errors = self.run_program(
            "def work():\n    while True: mesh.exists('k')\n"
            "for _ in range(4): threading.Thread(target=work, daemon=True).start()\ntime.sleep(0.3)\nsys.exit(7)")
        self.assertEqual(code, 7, errors)

    def test_a_signal_of_the_host_arrives(self):
        # What a shell runs in the background ignores SIGINT, and so would the program.
        code, said, errors = self.run_program(
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
            "try:\n    while True: mesh.exists('k')\nexcept KeyboardInterrupt: print('interrupted', mesh.exists('k'))")
        self.assertEqual((code, said), (0, "interrupted False"), errors)
