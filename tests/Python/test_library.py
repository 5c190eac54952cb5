# SPDX-License-Identifier: Apache-2.0
"""Which of the libraries in a wheel is taken."""

import os
import tempfile
import unittest
from unittest import mock

from mooncake_mesh import _library

FLAGS = "fpu avx avx2 avx512f avx512bw avx512cd avx512dq avx512vl"


class LibraryTests(unittest.TestCase):
    def chosen(self, flags, environment=()):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("libmooncake_mesh.so", "x86-64-v4/libmooncake_mesh.so"):
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="ascii"):
                    pass
            cpuinfo = os.path.join(folder, "cpuinfo")
            with open(cpuinfo, "w", encoding="ascii") as file:
                file.write(f"processor : 0\nflags\t\t: {flags}\nflags\t\t: none\n")
            has = _library.processor(cpuinfo)
            with mock.patch.object(_library, "__file__", os.path.join(folder, "_library.py")), \
                    mock.patch.object(_library, "processor", lambda: has), \
                    mock.patch.dict(os.environ, dict(environment)):
                if not environment:
                    os.environ.pop(_library.VARIABLE, None)
                return os.path.relpath(_library.candidates()[0], folder)

    def test_the_one_for_this_processor(self):
        self.assertEqual(self.chosen(FLAGS), "x86-64-v4/libmooncake_mesh.so")
        for lacking in FLAGS.split()[3:]:
            self.assertEqual(self.chosen(FLAGS.replace(lacking, "")), "libmooncake_mesh.so", lacking)

    def test_the_one_that_the_environment_names(self):
        self.assertTrue(self.chosen(FLAGS, {_library.VARIABLE: "/a/b.so"}).endswith("a/b.so"))

    def test_no_cpuinfo_is_no_processor_of_note(self):
        self.assertEqual(_library.processor("/nowhere/cpuinfo"), frozenset())
