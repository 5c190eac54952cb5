# SPDX-License-Identifier: Apache-2.0
"""The store's codes that are named here."""

OK = 0
INTERNAL = -1
SEGMENT_NOT_FOUND = -101
NO_SPACE = -200
INVALID_PARAMS = -600
NOT_FOUND = -704
TASK_NOT_FOUND = -1400
NOT_SUPPORTED = -1012
FILE_NOT_FOUND = -1100
