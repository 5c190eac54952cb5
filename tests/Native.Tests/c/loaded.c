/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the library at run time, as Python does; then a copy of it. Arguments: LIBRARY COPY NODE. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct mooncake_mesh mooncake_mesh_t;

struct functions {
  void *library;
  int64_t (*open)(const char *, mooncake_mesh_t **);
  int64_t (*close)(mooncake_mesh_t *);
  int64_t (*health)(mooncake_mesh_t *);
  const char *(*last_error)(void);
  int (*in_use)(void);
};

static int load(const char *file, struct functions *f) {
  f->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (f->library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 0;
  }
  *(void **)&f->open = dlsym(f->library, "mooncake_mesh_open");
  *(void **)&f->close = dlsym(f->library, "mooncake_mesh_close");
  *(void **)&f->health = dlsym(f->library, "mooncake_mesh_health");
  *(void **)&f->last_error = dlsym(f->library, "mooncake_mesh_last_error");
  *(void **)&f->in_use = dlsym(f->library, "mooncake_mesh_library_in_use");
  return f->open && f->close && f->health && f->last_error && f->in_use;
}

#define MUST(condition)                                                           \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: %s [%s] [%s]\n", __FILE__, __LINE__, #condition, first.last_error ? first.last_error() : "", \
              second.last_error ? second.last_error() : "");                      \
      return 1;                                                                   \
    }                                                                             \
  } while (0)

int main(int argc, char **argv) {
  struct functions first = {0}, second = {0};
  mooncake_mesh_t *mesh = NULL, *other = NULL;
  char options[128];
  if (argc != 4) return 2;
  snprintf(options, sizeof options, "nodes=%s", argv[3]);
  MUST(load(argv[1], &first));
  MUST(first.open(options, &mesh) == 0);
  MUST(first.health(mesh) == 0);
  MUST(load(argv[2], &second));
  MUST(second.open != first.open);
  MUST(second.open(options, &other) == -2004);
  MUST(strstr(second.last_error(), "another copy") != NULL && strstr(second.last_error(), argv[1]) != NULL);
  MUST(second.in_use() == 0);
  /* Closing what was loaded unloads nothing: calls go on. */
  MUST(dlclose(first.library) == 0);
  MUST(first.health(mesh) == 0);
  MUST(first.close(mesh) == 0);
  MUST(first.open(options, &mesh) == 0);
  MUST(first.close(mesh) == 0);
  puts("ok");
  return 0;
}
