# SPDX-License-Identifier: Apache-2.0
"""Runs every test_*.py beside it, and ends with the line that test.sh counts."""

import sys
import unittest
from pathlib import Path

found = unittest.defaultTestLoader.discover(str(Path(__file__).parent))
result = unittest.TextTestRunner(verbosity=1, stream=sys.stdout).run(found)
skipped = len(result.skipped)
print(f"Python: {result.testsRun - len(result.failures) - len(result.errors) - skipped} passed, "
      f"{len(result.failures) + len(result.errors)} failed")
print(f"Total: {result.testsRun}, Errors: {len(result.errors)}, Failed: {len(result.failures)}, Skipped: {skipped}")
sys.exit(0 if result.wasSuccessful() else 1)
