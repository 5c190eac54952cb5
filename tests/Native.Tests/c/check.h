/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECK_H
#define CHECK_H

#include <mooncake_mesh.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

/* Every failure is said, with both values; the program goes on, and ends with 1. */
#define EXPECT(call, wanted)                                                                                   \
  do {                                                                                                         \
    int64_t expect_got = (int64_t)(call), expect_wanted = (int64_t)(wanted);                                   \
    if (expect_got != expect_wanted) {                                                                         \
      fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %" PRId64 " [%s]\n", __FILE__, __LINE__, #call, expect_got, \
              expect_wanted, mooncake_mesh_last_error());                                                      \
      __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);                                                      \
    }                                                                                                          \
  } while (0)

#define CHECK(condition) EXPECT(!!(condition), 1)

/* The last failure's text must name something. */
#define SAYS(word) CHECK(strstr(mooncake_mesh_last_error(), word) != NULL)

static inline int ended(void) {
  if (failures == 0) puts("ok");
  return failures == 0 ? 0 : 1;
}

/* An address that no allocation has, and a length that goes past the end of memory from it. */
#define NEAR_END ((void *)(uintptr_t)0xfffffffffffff000u)
#define WRAPPING ((size_t)0x10000)

#endif
