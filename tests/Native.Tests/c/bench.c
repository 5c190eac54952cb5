/* SPDX-License-Identifier: Apache-2.0 */
/* What a call costs. Arguments: OPTIONS [BYTES...]. */
#include "check.h"

#include <time.h>

enum { CALLS = 4000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  static double took[CALLS];
  mooncake_mesh_t *mesh = NULL;
  EXPECT(mooncake_mesh_open(argv[1], &mesh), 0);
  for (int a = 2; a < argc; a++) {
    size_t size = strtoull(argv[a], NULL, 10);
    int calls = size > 1 << 20 ? 100 : CALLS;
    char *value = calloc(1, size + 1), *copy = calloc(1, size + 1);
    char key[64];
    int length = snprintf(key, sizeof key, "bench-%zu", size);
    EXPECT(mooncake_mesh_put(mesh, key, (size_t)length, value, size, NULL), 0);
    /* The last of three rounds: what connects and warms up does so in the others. */
    for (int i = 0; i < 3 * calls; i++) {
      double start = now();
      EXPECT(mooncake_mesh_get_into(mesh, key, (size_t)length, value, size), size);
      took[i % calls] = now() - start;
    }
    qsort(took, (size_t)calls, sizeof *took, by_size);
    double median = took[calls / 2], p99 = took[calls * 99 / 100];
    for (int i = 0; i < calls; i++) {
      double start = now();
      memcpy(copy, value, size);
      took[i] = now() - start;
    }
    qsort(took, (size_t)calls, sizeof *took, by_size);
    printf("get_into %zu bytes: median %.2f us, p99 %.2f us; memcpy median %.2f us\n", size, median, p99,
           took[calls / 2]);
    EXPECT(mooncake_mesh_remove(mesh, key, (size_t)length), 0);
    free(value);
    free(copy);
  }
  for (int i = 0; i < CALLS; i++) {
    double start = now();
    EXPECT(mooncake_mesh_exists(mesh, "", 0), -600);
    took[i] = now() - start;
  }
  qsort(took, CALLS, sizeof *took, by_size);
  printf("a refused argument: median %.2f us\n", took[CALLS / 2]);
  for (int i = 0; i < CALLS; i++) {
    double start = now();
    (void)mooncake_mesh_api_version();
    took[i] = now() - start;
  }
  qsort(took, CALLS, sizeof *took, by_size);
  printf("a call that does nothing: median %.3f us\n", took[CALLS / 2]);
  EXPECT(mooncake_mesh_close(mesh), 0);
  return ended();
}
