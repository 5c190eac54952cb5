/* SPDX-License-Identifier: Apache-2.0 */
/* Every function of mooncake_mesh.h, and what it says to what cannot be. Arguments: NODE ETCD. */
#include "check.h"

static char buffer[4 << 20];

static mooncake_mesh_t *opened(const char *format, const char *address) {
  char options[256];
  snprintf(options, sizeof options, format, address);
  mooncake_mesh_t *mesh = NULL;
  EXPECT(mooncake_mesh_open(options, &mesh), 0);
  CHECK(mesh != NULL);
  return mesh;
}

static void opening(const char *node, const char *etcd) {
  mooncake_mesh_t *mesh = (void *)1;
  CHECK(strcmp(mooncake_mesh_last_error(), "") == 0);
  EXPECT(mooncake_mesh_api_version(), 2);
  CHECK(strlen(mooncake_mesh_version()) >= 5);
  EXPECT(mooncake_mesh_library_in_use(), 0);
  EXPECT(mooncake_mesh_open(NULL, &mesh), -600);
  CHECK(mesh == NULL);
  EXPECT(mooncake_mesh_open("nodes=a:1", NULL), -600);
  EXPECT(mooncake_mesh_open("", &mesh), -600);
  EXPECT(mooncake_mesh_open("nodes", &mesh), -600);
  EXPECT(mooncake_mesh_open("colour=blue;nodes=a:1", &mesh), -600);
  SAYS("colour");
  EXPECT(mooncake_mesh_open("{\"nodes\": ", &mesh), -600);
  EXPECT(mooncake_mesh_open("{\"nodes\": [\"a:1\"], \"slice_ms\": -1}", &mesh), -600);
  SAYS("slice_ms");
  EXPECT(mooncake_mesh_open("nodes=a:1;transport=pigeon", &mesh), -600);
  EXPECT(mooncake_mesh_open("nodes=a:1;verify=perhaps", &mesh), -600);
  EXPECT(mooncake_mesh_open("nodes=a:1;segment_size=much", &mesh), -600);
  EXPECT(mooncake_mesh_open("nodes=nowhere", &mesh), -600);
  EXPECT(mooncake_mesh_open("nodes=127.0.0.1:1;connect_timeout_ms=100", &mesh), -900);
  EXPECT(mooncake_mesh_open("nodes=127.0.0.1:1;secret_file=/nowhere", &mesh) < 0, 1);
  EXPECT(mooncake_mesh_open("registry=embedded", &mesh), -600);
  EXPECT(mooncake_mesh_open("registry=embedded;segment_size=1M;nodes=a:1", &mesh), -600);
  EXPECT(mooncake_mesh_open("registry=stone;nodes=a:1", &mesh), -600);
  CHECK(mesh == NULL);
  char name[64];
  mesh = opened("{\"nodes\": [\"%s\"], \"cluster\": \"default\", \"hostname\": \"me:9\", \"timeout_ms\": 20000}", node);
  EXPECT(mooncake_mesh_hostname(mesh, name, sizeof name), 0);
  CHECK(strcmp(name, "me:9") == 0);
  EXPECT(mooncake_mesh_hostname(mesh, name, 3), -600);
  EXPECT(mooncake_mesh_hostname(mesh, NULL, 3), -600);
  EXPECT(mooncake_mesh_health(mesh), 0);
  EXPECT(mooncake_mesh_library_in_use(), 1);
  EXPECT(mooncake_mesh_close(mesh), 0);
  EXPECT(mooncake_mesh_close(mesh), MOONCAKE_MESH_BAD_HANDLE);
  EXPECT(mooncake_mesh_close(NULL), MOONCAKE_MESH_BAD_HANDLE);
  EXPECT(mooncake_mesh_health(mesh), MOONCAKE_MESH_BAD_HANDLE);
  /* The environment counts where nothing is said. */
  char elsewhere[128];
  snprintf(elsewhere, sizeof elsewhere, "nodes=%s;connect_timeout_ms=300", node);
  setenv("MOONCAKE_MESH_CLUSTER", "elsewhere", 1);
  EXPECT(mooncake_mesh_open(elsewhere, &mesh), -900);
  mesh = opened("nodes=%s;cluster=default", node);
  EXPECT(mooncake_mesh_close(mesh), 0);
  unsetenv("MOONCAKE_MESH_CLUSTER");
  mesh = opened("etcd_endpoints=%s\nhostname = localhost\n", etcd);
  char *json = NULL;
  size_t size = 0;
  CHECK(mooncake_mesh_status(mesh, NULL, &json, &size) > 100);
  CHECK(json != NULL && json[0] == '{' && strlen(json) == size);
  CHECK(strstr(json, etcd) != NULL);
  mooncake_mesh_free(json);
  mooncake_mesh_free(NULL);
  CHECK(mooncake_mesh_status(mesh, node, &json, &size) > 100);
  mooncake_mesh_free(json);
  EXPECT(mooncake_mesh_status(mesh, "nobody", &json, &size), -704);
  CHECK(json == NULL && size == 0);
  EXPECT(mooncake_mesh_status(mesh, NULL, NULL, &size), -600);
  EXPECT(mooncake_mesh_status(mesh, NULL, &json, NULL), -600);
  EXPECT(mooncake_mesh_close(mesh), 0);
}

static void objects(mooncake_mesh_t *mesh) {
  /* Keys are bytes. */
  const char key[] = {'k', 0, 'e', 'y'};
  EXPECT(mooncake_mesh_put(mesh, key, 4, "value", 5, NULL), 0);
  EXPECT(mooncake_mesh_exists(mesh, key, 4), 1);
  EXPECT(mooncake_mesh_exists(mesh, key, 3), 0);
  EXPECT(mooncake_mesh_get_size(mesh, key, 4), 5);
  EXPECT(mooncake_mesh_get_size(mesh, key, 3), -704);
  memset(buffer, 0x55, 64);
  EXPECT(mooncake_mesh_get_into(mesh, key, 4, buffer, 64), 5);
  CHECK(memcmp(buffer, "value\x55", 6) == 0);
  EXPECT(mooncake_mesh_get_into(mesh, key, 4, buffer + 32, 4), -600);
  CHECK(buffer[32] == 0x55);
  EXPECT(mooncake_mesh_get_into(mesh, key, 1, buffer, 64), -704);
  void *data = (void *)1;
  size_t size = 1;
  EXPECT(mooncake_mesh_get(mesh, key, 4, &data, &size), 5);
  CHECK(size == 5 && strcmp(data, "value") == 0);
  mooncake_mesh_free(data);
  EXPECT(mooncake_mesh_get(mesh, key, 1, &data, &size), -704);
  CHECK(data == NULL && size == 0);
  EXPECT(mooncake_mesh_get(mesh, key, 4, NULL, &size), -600);
  EXPECT(mooncake_mesh_get(mesh, key, 4, &data, NULL), -600);
  EXPECT(mooncake_mesh_get_range(mesh, key, 4, 1, buffer, 3), 3);
  CHECK(memcmp(buffer, "alu", 3) == 0);
  EXPECT(mooncake_mesh_get_range(mesh, key, 4, 3, buffer, 3), -600);
  EXPECT(mooncake_mesh_get_range(mesh, key, 4, UINT64_MAX, buffer, 3), -600);
  EXPECT(mooncake_mesh_get_range(mesh, key, 4, INT64_MAX, buffer, 3), -600);
  EXPECT(mooncake_mesh_get_range(mesh, key, 4, 0, NEAR_END, WRAPPING), -600);
  /* Parts: 64 and 64 bytes take 100. */
  const void *from[] = {"0123456789", "abc", ""};
  size_t lengths[] = {10, 3, 0};
  EXPECT(mooncake_mesh_put_parts(mesh, "parts", 5, from, lengths, 3, NULL), 0);
  void *to[] = {buffer, buffer + 100};
  size_t rooms[] = {8, 8};
  memset(buffer, 0x55, 200);
  EXPECT(mooncake_mesh_get_parts(mesh, "parts", 5, to, rooms, 2), 13);
  CHECK(memcmp(buffer, "01234567\x55", 9) == 0 && memcmp(buffer + 100, "89abc\x55", 6) == 0);
  rooms[1] = 4;
  EXPECT(mooncake_mesh_get_parts(mesh, "parts", 5, to, rooms, 2), -600);
  EXPECT(mooncake_mesh_get_parts(mesh, "parts", 5, to, rooms, SIZE_MAX), -600);
  EXPECT(mooncake_mesh_get_parts(mesh, "parts", 5, NULL, rooms, 2), -600);
  EXPECT(mooncake_mesh_put_parts(mesh, "parts2", 6, from, NULL, 2, NULL), -600);
  EXPECT(mooncake_mesh_put_parts(mesh, "parts2", 6, from, lengths, 1u << 20, NULL), -600);
  from[1] = NEAR_END;
  lengths[1] = WRAPPING;
  EXPECT(mooncake_mesh_put_parts(mesh, "parts2", 6, from, lengths, 3, NULL), -600);
  EXPECT(mooncake_mesh_remove(mesh, "parts", 5), 0);
  EXPECT(mooncake_mesh_remove(mesh, key, 4), 0);
  EXPECT(mooncake_mesh_remove(mesh, key, 4), -704);
  /* What is no key. */
  EXPECT(mooncake_mesh_put(mesh, NULL, 4, "v", 1, NULL), -600);
  EXPECT(mooncake_mesh_put(mesh, key, 0, "v", 1, NULL), -600);
  EXPECT(mooncake_mesh_put(mesh, buffer, 65537, "v", 1, NULL), -400);
  EXPECT(mooncake_mesh_put(mesh, buffer, SIZE_MAX, "v", 1, NULL), -400);
  EXPECT(mooncake_mesh_put(mesh, (void *)(uintptr_t)-4, 8, "v", 1, NULL), -600);
  EXPECT(mooncake_mesh_put(mesh, buffer, 65536, "v", 1, NULL), 0);
  EXPECT(mooncake_mesh_remove(mesh, buffer, 65536), 0);
  EXPECT(mooncake_mesh_put(mesh, key, 4, NEAR_END, WRAPPING, NULL), -600);
  EXPECT(mooncake_mesh_put(mesh, key, 4, NULL, 1, NULL), -600);
  EXPECT(mooncake_mesh_put(mesh, key, 4, buffer, SIZE_MAX, NULL), -600);
  EXPECT(mooncake_mesh_exists(mesh, NULL, 1), -600);
  EXPECT(mooncake_mesh_exists(NULL, "k", 1), MOONCAKE_MESH_BAD_HANDLE);
  EXPECT(mooncake_mesh_register_buffer(mesh, buffer, sizeof buffer), 0);
  EXPECT(mooncake_mesh_register_buffer(mesh, buffer, sizeof buffer), -600);
  EXPECT(mooncake_mesh_unregister_buffer(mesh, buffer), 0);
  EXPECT(mooncake_mesh_unregister_buffer(mesh, buffer), -600);
}

static void options(mooncake_mesh_t *mesh, const char *node) {
  mooncake_mesh_put_options asked = {.struct_size = sizeof asked, .replicas = 2, .pin = 1, .group = "g"};
  EXPECT(mooncake_mesh_put(mesh, "o", 1, "first", 5, &asked), 0);
  asked.replace = 1;
  asked.placement = 2;
  asked.preferred_node = node;
  asked.timeout_ms = 20000;
  EXPECT(mooncake_mesh_put(mesh, "o", 1, "second", 6, &asked), 0);
  EXPECT(mooncake_mesh_get_into(mesh, "o", 1, buffer, 64), 6);
  mooncake_mesh_put_options bad[] = {
      {.struct_size = 8},
      {.struct_size = sizeof asked, .replicas = 65},
      {.struct_size = sizeof asked, .pin = 3},
      {.struct_size = sizeof asked, .placement = -1},
      {.struct_size = sizeof asked, .replace = 2},
      {.struct_size = sizeof asked, .timeout_ms = -1},
      {.struct_size = sizeof asked, .timeout_ms = INT64_MAX},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    EXPECT(mooncake_mesh_put(mesh, "bad", 3, "v", 1, &bad[i]), -600);
  EXPECT(mooncake_mesh_remove(mesh, "o", 1), 0);
}

static void batches(mooncake_mesh_t *mesh) {
  const void *keys[] = {"x", "x", "y", "", NULL, "long"};
  size_t key_sizes[] = {1, 1, 1, 0, 1, 65537};
  const void *values[] = {"first", "other", "Y", "v", "v", "v"};
  size_t sizes[] = {5, 5, 1, 1, 1, 1};
  int64_t results[6];
  const char *groups[] = {"g", "g", NULL, "", "", ""};
  mooncake_mesh_put_options asked = {.struct_size = sizeof asked, .groups = groups};
  EXPECT(mooncake_mesh_put_batch(mesh, keys, key_sizes, values, sizes, 6, &asked, results), 0);
  int64_t wanted[] = {0, 0, 0, -600, -600, -400};
  for (int i = 0; i < 6; i++) EXPECT(results[i], wanted[i]);
  EXPECT(mooncake_mesh_exists_batch(mesh, keys, key_sizes, 6, results), 0);
  int64_t found[] = {1, 1, 1, -600, -600, -400};
  for (int i = 0; i < 6; i++) EXPECT(results[i], found[i]);
  EXPECT(mooncake_mesh_get_size_batch(mesh, keys, key_sizes, 6, results), 0);
  int64_t there[] = {5, 5, 1, -600, -600, -400};
  for (int i = 0; i < 6; i++) EXPECT(results[i], there[i]);
  void *to[] = {buffer, buffer + 10, buffer + 20, buffer, buffer, buffer};
  size_t rooms[] = {5, 4, 10, 1, 1, 1};
  EXPECT(mooncake_mesh_get_batch(mesh, keys, key_sizes, to, rooms, 6, results), 0);
  int64_t got[] = {5, -600, 1, -600, -600, -400};
  for (int i = 0; i < 6; i++) EXPECT(results[i], got[i]);
  CHECK(memcmp(buffer, "first", 5) == 0 && buffer[20] == 'Y');
  uint64_t offsets[] = {2, 0, 1, 0, 0, 0};
  size_t parts_of[] = {3, 2, 1, 1, 1, 1};
  EXPECT(mooncake_mesh_get_range_batch(mesh, keys, key_sizes, offsets, to, parts_of, 6, results), 0);
  int64_t ranged[] = {3, 2, -600, -600, -600, -400};
  for (int i = 0; i < 6; i++) EXPECT(results[i], ranged[i]);
  CHECK(memcmp(buffer, "rst", 3) == 0 && memcmp(buffer + 10, "fi", 2) == 0);
  /* Parts: p has two, q has none, r has one. */
  const void *names[] = {"p", "q", "r"};
  size_t name_sizes[] = {1, 1, 1};
  const void *pieces[] = {"ab", "cd", "e"};
  size_t piece_sizes[] = {2, 2, 1};
  size_t counts[] = {2, 0, 1};
  EXPECT(mooncake_mesh_put_parts_batch(mesh, names, name_sizes, pieces, piece_sizes, counts, 3, NULL, results), 0);
  for (int i = 0; i < 3; i++) EXPECT(results[i], 0);
  void *piece_to[] = {buffer, buffer + 1, buffer + 3};
  size_t piece_rooms[] = {1, 3, 1};
  memset(buffer, 0x55, 16);
  EXPECT(mooncake_mesh_get_parts_batch(mesh, names, name_sizes, piece_to, piece_rooms, counts, 3, results), 0);
  EXPECT(results[0], 4);
  EXPECT(results[1], 0);
  EXPECT(results[2], 1);
  CHECK(memcmp(buffer, "abce", 4) == 0 || memcmp(buffer, "abcd", 4) == 0);
  counts[1] = SIZE_MAX - 1;
  EXPECT(mooncake_mesh_get_parts_batch(mesh, names, name_sizes, piece_to, piece_rooms, counts, 3, results), -600);
  counts[1] = 0;
  EXPECT(mooncake_mesh_get_parts_batch(mesh, names, name_sizes, NULL, piece_rooms, counts, 3, results), -600);
  EXPECT(mooncake_mesh_put_parts_batch(mesh, names, name_sizes, pieces, piece_sizes, NULL, 3, NULL, results), -600);
  uint8_t present[4] = {9, 9, 9, 9};
  const void *chain[] = {"p", "q", "none", "r"};
  size_t chain_sizes[] = {1, 1, 4, 1};
  EXPECT(mooncake_mesh_match_prefix(mesh, chain, chain_sizes, 4, present), 2);
  CHECK(present[0] == 1 && present[1] == 1 && present[2] == 0 && present[3] == 1);
  EXPECT(mooncake_mesh_match_prefix(mesh, chain, chain_sizes, 4, NULL), 2);
  EXPECT(mooncake_mesh_match_prefix(mesh, NULL, NULL, 0, NULL), 0);
  chain_sizes[1] = 0;
  EXPECT(mooncake_mesh_match_prefix(mesh, chain, chain_sizes, 4, NULL), -600);
  char *json = NULL;
  size_t size = 0;
  CHECK(mooncake_mesh_locate_batch(mesh, keys, key_sizes, 6, &json, &size) > 0);
  CHECK(json != NULL && strstr(json, "\"size\":5") != NULL && strstr(json, "\"nodes\":[\"n") != NULL);
  mooncake_mesh_free(json);
  EXPECT(mooncake_mesh_locate_batch(mesh, keys, key_sizes, 6, NULL, &size), -600);
  EXPECT(mooncake_mesh_remove_batch(mesh, keys, key_sizes, 6, results), 0);
  CHECK(results[0] + results[1] == -704);
  EXPECT(results[2], 0);
  EXPECT(results[4], -600);
  EXPECT(mooncake_mesh_remove_by_regex(mesh, "^[pqr]$"), 3);
  EXPECT(mooncake_mesh_remove_by_regex(mesh, NULL), -600);
  EXPECT(mooncake_mesh_put_batch(mesh, NULL, NULL, NULL, NULL, 0, NULL, NULL), 0);
  EXPECT(mooncake_mesh_exists_batch(mesh, keys, key_sizes, SIZE_MAX, results), -600);
  EXPECT(mooncake_mesh_exists_batch(mesh, keys, NULL, 1, results), -600);
  EXPECT(mooncake_mesh_get_range_batch(mesh, keys, key_sizes, NULL, to, rooms, 1, results), -600);
}

static void views(mooncake_mesh_t *mesh) {
  memset(buffer, 'v', 1 << 20);
  EXPECT(mooncake_mesh_put(mesh, "view", 4, buffer, 1 << 20, NULL), 0);
  mooncake_mesh_view_t *view = NULL;
  const void *data = NULL;
  size_t size = 0;
  EXPECT(mooncake_mesh_view_open(mesh, "view", 4, 1, &view, &data, &size), 1 << 20);
  CHECK(view != NULL && size == 1 << 20 && memcmp(data, buffer, size) == 0);
  EXPECT(mooncake_mesh_remove(mesh, "view", 4), 0);
  CHECK(memcmp(data, buffer, size) == 0);
  /* The view outlives the handle. */
  EXPECT(mooncake_mesh_close(mesh), 0);
  CHECK(memcmp(data, buffer, size) == 0);
  EXPECT(mooncake_mesh_view_close(view), 0);
  EXPECT(mooncake_mesh_view_close(view), MOONCAKE_MESH_BAD_HANDLE);
  EXPECT(mooncake_mesh_view_close(NULL), MOONCAKE_MESH_BAD_HANDLE);
  EXPECT(mooncake_mesh_view_open(mesh, "view", 4, 0, &view, &data, &size), MOONCAKE_MESH_BAD_HANDLE);
}

/* A mesh of this process alone: a node, a client of it, and nothing else. */
static void embedded(void) {
  mooncake_mesh_t *mesh = opened("registry=embedded;segment_size=%s;timeout_ms=10000", "16MiB");
  EXPECT(mooncake_mesh_put(mesh, "k", 1, "v", 1, NULL), 0);
  EXPECT(mooncake_mesh_get_into(mesh, "k", 1, buffer, 1), 1);
  EXPECT(mooncake_mesh_remove_all(mesh), 1);
  EXPECT(mooncake_mesh_exists(mesh, "k", 1), 0);
  EXPECT(mooncake_mesh_close(mesh), 0);
}

static int wanted_ends;

static int give_up(void *context) {
  ++*(int *)context;
  return *(int *)context >= wanted_ends;
}

/* Slices and interruption: a get of what a node that stands still has would take long; a connect does too. */
static void waiting(const char *node) {
  EXPECT(mooncake_mesh_wait(1), -600);
  EXPECT(mooncake_mesh_cancel(), -600);
  EXPECT(mooncake_mesh_wait(0), -600);
  EXPECT(mooncake_mesh_wait(-5), -600);
  mooncake_mesh_t *mesh = opened("nodes=%s;slice_ms=1;put_timeout_ms=20000;transport=tcp", node);
  /* So much does not go into the mesh within a millisecond. */
  size_t size = (size_t)64 << 20;
  char *large = calloc(1, size);
  int64_t code = mooncake_mesh_put(mesh, "large", 5, large, size, NULL);
  EXPECT(code, MOONCAKE_MESH_PENDING);
  EXPECT(mooncake_mesh_exists(mesh, "k", 1), MOONCAKE_MESH_UNAVAILABLE);
  SAYS("pending");
  int slices = 0;
  while ((code = mooncake_mesh_wait(1)) == MOONCAKE_MESH_PENDING) slices++;
  EXPECT(code, 0);
  CHECK(slices > 0);
  memset(large, 1, size);
  code = mooncake_mesh_get_into(mesh, "large", 5, large, size);
  /* On a busy machine it may be done when this thread has its turn again. */
  if (code == MOONCAKE_MESH_PENDING) code = mooncake_mesh_cancel();
  CHECK(code == MOONCAKE_MESH_CANCELLED || code == (int64_t)size);
  memset(large, 2, size);
  for (size_t i = 0; i < size; i += 4096) CHECK(large[i] == 2);
  EXPECT(mooncake_mesh_cancel(), -600);
  code = mooncake_mesh_remove(mesh, "large", 5);
  while (code == MOONCAKE_MESH_PENDING) code = mooncake_mesh_wait(1000);
  EXPECT(code, 0);
  EXPECT(mooncake_mesh_close(mesh), 0);
  free(large);
  int asked = 0;
  wanted_ends = 1 << 30;
  EXPECT(mooncake_mesh_set_interrupt(give_up, &asked), 0);
  mesh = opened("nodes=%s", node);
  EXPECT(mooncake_mesh_put(mesh, "i", 1, "v", 1, NULL), 0);
  EXPECT(mooncake_mesh_remove(mesh, "i", 1), 0);
  EXPECT(mooncake_mesh_set_interrupt(NULL, NULL), 0);
  EXPECT(mooncake_mesh_close(mesh), 0);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  opening(argv[1], argv[2]);
  mooncake_mesh_t *mesh = opened("nodes=%s;timeout_ms=10000", argv[1]);
  objects(mesh);
  options(mesh, argv[1]);
  batches(mesh);
  views(mesh);
  embedded();
  waiting(argv[1]);
  return ended();
}
