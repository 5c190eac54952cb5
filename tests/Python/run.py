# SPDX-License-Identifier: Apache-2.0
"""Runs every test_*.py beside it, and ends with the line that test.sh counts."""

import sys
import unittest
from pathlib import Path


def main():
    found = unittest.defaultTestLoader.discover(str(Path(__file__).parent))
    result = unittest.TextTestRunner(verbosity=1, stream=sys.stdout).run(found)
    bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"Total: {result.testsRun}, Errors: {len(result.errors)}, Failed: {len(result.failures)}, "
          f"Skipped: {skipped}")
    print(f"Python: {result.testsRun - bad - skipped} passed, {bad} failed")
    return 0 if bad == 0 else 1


# A process that a test spawns imports this file.
if __name__ == "__main__":
    sys.exit(main())
