/* SPDX-License-Identifier: Apache-2.0 */
/* Every function of store_c.h, and what it says to what cannot be. Arguments: NODE ETCD. */
#include "check.h"

#include <store_c.h>
#include <time.h>
#include <unistd.h>

static char buffer[4 << 20];

static mooncake_store_t opened(const char *node) {
  mooncake_store_t store = mooncake_store_create();
  CHECK(store != NULL);
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 16 << 20, "auto", "", node), 0);
  EXPECT(mooncake_store_register_buffer(store, buffer, sizeof buffer), 0);
  return store;
}

static void refusals_before_setup(void) {
  mooncake_store_t store = mooncake_store_create();
  char name[64];
  EXPECT(mooncake_store_health_check(store), 1);
  EXPECT(mooncake_store_put(store, "k", "v", 1, NULL), -600);
  EXPECT(mooncake_store_get_into(store, "k", buffer, 1), -600);
  EXPECT(mooncake_store_is_exist(store, "k"), -600);
  EXPECT(mooncake_store_get_size(store, "k"), -600);
  EXPECT(mooncake_store_remove(store, "k", 0), -600);
  EXPECT(mooncake_store_remove_all(store, 0), -600);
  EXPECT(mooncake_store_remove_by_regex(store, ".", 0), -600);
  EXPECT(mooncake_store_get_hostname(store, name, sizeof name), -600);
  EXPECT(mooncake_store_register_buffer(store, buffer, 1), -600);
  EXPECT(mooncake_store_unregister_buffer(store, buffer), -600);
  SAYS("not set up");
  mooncake_store_destroy(store);
}

static void bad_setups(const char *node) {
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_setup(store, NULL, "", 0, 0, "tcp", "", node), -600);
  EXPECT(mooncake_store_setup(store, "localhost", NULL, 0, 0, "tcp", "", node), -600);
  EXPECT(mooncake_store_setup(store, "localhost", "", 0, 0, NULL, "", node), -600);
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 0, "tcp", "", ""), -600);
  SAYS("must name the mesh");
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 0, "pigeon", "", node), -600);
  SAYS("pigeon");
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 1000, 0, "tcp", "", node), -600);
  SAYS("global_segment_size is 1000");
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, (1ull << 40) + 1, "tcp", "", node), -600);
  SAYS("local_buffer_size");
  EXPECT(mooncake_store_setup(store, "local host", "P2PHANDSHAKE", 0, 0, "tcp", "", node), -600);
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 0, "tcp", "", "127.0.0.1:1"), -900);
  EXPECT(mooncake_store_setup(store, "localhost", "etcd://127.0.0.1:1", 0, 0, "tcp", "", NULL), -1000);
  EXPECT(mooncake_store_health_check(store), 1);
  /* A store whose setup failed can be set up. */
  EXPECT(mooncake_store_setup(store, "localhost", "http://ignored:8080/metadata", 0, 4096, "tcp", NULL, node), 0);
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 4096, "tcp", NULL, node), -600);
  SAYS("set up already");
  EXPECT(mooncake_store_health_check(store), 0);
  mooncake_store_destroy(store);
}

static void handles(const char *node) {
  mooncake_store_t store = opened(node);
  mooncake_store_t bad[] = {NULL, (void *)1, (void *)&failures, (void *)(uintptr_t)-1, (char *)store + 16};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    EXPECT(mooncake_store_put(bad[i], "k", "v", 1, NULL), MOONCAKE_MESH_BAD_HANDLE);
    EXPECT(mooncake_store_is_exist(bad[i], "k"), MOONCAKE_MESH_BAD_HANDLE);
    EXPECT(mooncake_store_setup(bad[i], "h", "", 0, 0, "tcp", "", node), MOONCAKE_MESH_BAD_HANDLE);
    EXPECT(mooncake_store_health_check(bad[i]), 1);
    EXPECT(mooncake_mesh_close((mooncake_mesh_t *)bad[i]), MOONCAKE_MESH_BAD_HANDLE);
    mooncake_store_destroy(bad[i]);
  }
  /* A store is no mesh. */
  EXPECT(mooncake_mesh_close((mooncake_mesh_t *)store), MOONCAKE_MESH_BAD_HANDLE);
  EXPECT(mooncake_mesh_exists((mooncake_mesh_t *)store, "k", 1), MOONCAKE_MESH_BAD_HANDLE);
  mooncake_store_destroy(store);
  mooncake_store_destroy(store);
  EXPECT(mooncake_store_is_exist(store, "k"), MOONCAKE_MESH_BAD_HANDLE);
  mooncake_store_t next = mooncake_store_create();
  CHECK(next != store);
  mooncake_store_destroy(next);
}

static void hostnames(const char *node) {
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_setup(store, "myhost:4711", "P2PHANDSHAKE", 0, 4096, "tcp", "", node), 0);
  char name[64] = "";
  EXPECT(mooncake_store_get_hostname(store, name, sizeof name), 0);
  CHECK(strcmp(name, "myhost:4711") == 0);
  EXPECT(mooncake_store_get_hostname(store, name, strlen("myhost:4711") + 1), 0);
  EXPECT(mooncake_store_get_hostname(store, name, strlen("myhost:4711")), -600);
  EXPECT(mooncake_store_get_hostname(store, name, 0), -600);
  EXPECT(mooncake_store_get_hostname(store, NULL, 64), -600);
  mooncake_store_destroy(store);
  store = opened(node);
  EXPECT(mooncake_store_get_hostname(store, name, sizeof name), 0);
  CHECK(strncmp(name, "localhost:", 10) == 0);
  int port = atoi(name + 10);
  CHECK(port >= 12300 && port <= 14300);
  mooncake_store_destroy(store);
}

/* Awkward keys: each is a key of its own, and none leaves the store. */
static void awkward_keys(mooncake_store_t store) {
  static char longest[65537 + 1];
  static char most[4096 + 1];
  memset(longest, 'l', 65536);
  memset(most, 'm', 4096);
  const char *keys[] = {"a/b//c", "/lead", "../../etc/passwd", "a b\tc", "k:@#?%00", "\xe6\xa8\xa1\xe5\x9e\x8b/7",
                        "\xc3\xa9", "e\xcc\x81", "\xff\xfe", "x", most, longest};
  const size_t count = sizeof keys / sizeof *keys;
  char value[1024];
  for (size_t i = 0; i < count; i++) {
    memset(value, (int)('A' + i), sizeof value);
    EXPECT(mooncake_store_is_exist(store, keys[i]), 0);
    EXPECT(mooncake_store_put(store, keys[i], value, sizeof value, NULL), 0);
  }
  for (size_t i = 0; i < count; i++) {
    EXPECT(mooncake_store_is_exist(store, keys[i]), 1);
    EXPECT(mooncake_store_get_size(store, keys[i]), sizeof value);
    EXPECT(mooncake_store_get_into(store, keys[i], buffer, sizeof value), sizeof value);
    for (size_t b = 0; b < sizeof value; b++) CHECK(buffer[b] == (char)('A' + i));
    EXPECT(mooncake_store_remove(store, keys[i], (int)(i % 2)), 0);
    EXPECT(mooncake_store_remove(store, keys[i], 0), -704);
    EXPECT(mooncake_store_get_size(store, keys[i]), -704);
  }
  longest[65536] = 'l';
  EXPECT(mooncake_store_put(store, longest, "v", 1, NULL), -400);
  SAYS("65536");
  EXPECT(mooncake_store_is_exist(store, longest), -400);
  EXPECT(mooncake_store_put(store, "", "v", 1, NULL), -600);
  EXPECT(mooncake_store_put(store, NULL, "v", 1, NULL), -600);
  SAYS("NULL");
  EXPECT(mooncake_store_put_from(store, NULL, buffer, 1, NULL), -600);
  EXPECT(mooncake_store_get_into(store, NULL, buffer, 1), -600);
  EXPECT(mooncake_store_get_into(store, "", buffer, 1), -600);
  EXPECT(mooncake_store_is_exist(store, NULL), -600);
  EXPECT(mooncake_store_is_exist(store, ""), -600);
  EXPECT(mooncake_store_get_size(store, NULL), -600);
  EXPECT(mooncake_store_remove(store, NULL, 0), -600);
  EXPECT(mooncake_store_remove(store, "", 1), -600);
}

/* A put of a key that is there succeeds and changes nothing. */
static void same_key(mooncake_store_t store) {
  memset(buffer, 'a', 1 << 20);
  EXPECT(mooncake_store_put_from(store, "same", buffer, 1 << 20, NULL), 0);
  memset(buffer, 'b', 2 << 20);
  for (int i = 0; i < 100; i++) EXPECT(mooncake_store_put_from(store, "same", buffer, 2 << 20, NULL), 0);
  EXPECT(mooncake_store_get_into(store, "same", buffer, sizeof buffer), 1 << 20);
  CHECK(buffer[0] == 'a' && buffer[(1 << 20) - 1] == 'a');
  CHECK(buffer[1 << 20] == 'b');
  EXPECT(mooncake_store_remove(store, "same", 1), 0);
}

/* Duplicates, missing and bad entries of a batch. */
static void batches(mooncake_store_t store) {
  EXPECT(mooncake_store_put(store, "a", "bytes of a", 10, NULL), 0);
  EXPECT(mooncake_store_put(store, "b", "bytes of b!", 11, NULL), 0);
  static char longest[65538];
  memset(longest, 'l', 65537);
  const char *keys[] = {"a", "nope", "a", "b", "", "a", NULL, longest, "a", "a"};
  void *buffers[10];
  size_t sizes[10];
  int64_t sizes_got[10];
  memset(buffer, 0xEE, 10 * 64);
  for (int i = 0; i < 10; i++) buffers[i] = buffer + 64 * i, sizes[i] = 64;
  buffers[8] = NULL;
  sizes[9] = 9;
  EXPECT(mooncake_store_batch_get_into(store, keys, buffers, sizes, 10, sizes_got), 0);
  int64_t wanted[] = {10, -704, 10, 11, -600, 10, -600, -400, -600, -600};
  for (int i = 0; i < 10; i++) {
    EXPECT(sizes_got[i], wanted[i]);
    int filled = wanted[i] > 0 ? (int)wanted[i] : 0;
    for (int b = filled; b < 64; b++) CHECK(buffer[64 * i + b] == (char)0xEE);
    if (filled > 0) CHECK(memcmp(buffer + 64 * i, filled == 10 ? "bytes of a" : "bytes of b!", (size_t)filled) == 0);
  }
  const char *put_keys[] = {"x", "x", "y", "", "z"};
  memcpy(buffer, "firstotherY", 11);
  void *values[] = {buffer, buffer + 5, buffer + 10, buffer, NEAR_END};
  size_t value_sizes[] = {5, 5, 1, 1, WRAPPING};
  int codes[5];
  EXPECT(mooncake_store_batch_put_from(store, put_keys, values, value_sizes, 5, NULL, codes), 0);
  int wanted_codes[] = {0, 0, 0, -600, -600};
  for (int i = 0; i < 5; i++) EXPECT(codes[i], wanted_codes[i]);
  EXPECT(mooncake_store_get_into(store, "x", buffer + 100, 64), 5);
  CHECK(memcmp(buffer + 100, "first", 5) == 0);
  int found[5];
  const char *asked[] = {"x", "none", "", NULL, "y"};
  EXPECT(mooncake_store_batch_is_exist(store, asked, 5, found), 0);
  int wanted_found[] = {1, 0, -600, -600, 1};
  for (int i = 0; i < 5; i++) EXPECT(found[i], wanted_found[i]);
  /* Nothing, and what is no array. */
  EXPECT(mooncake_store_batch_is_exist(store, NULL, 0, NULL), 0);
  EXPECT(mooncake_store_batch_get_into(store, NULL, NULL, NULL, 0, NULL), 0);
  EXPECT(mooncake_store_batch_put_from(store, NULL, NULL, NULL, 0, NULL, NULL), 0);
  EXPECT(mooncake_store_batch_is_exist(store, NULL, 1, found), -600);
  EXPECT(mooncake_store_batch_is_exist(store, asked, 1, NULL), -600);
  EXPECT(mooncake_store_batch_is_exist(store, asked, (size_t)1 << 60, found), -600);
  EXPECT(mooncake_store_batch_is_exist(store, asked, SIZE_MAX, found), -600);
  EXPECT(mooncake_store_batch_is_exist(store, (const char **)NEAR_END, 10000, found), -600);
  EXPECT(mooncake_store_batch_get_into(store, keys, NULL, sizes, 1, sizes_got), -600);
  EXPECT(mooncake_store_batch_get_into(store, keys, buffers, NULL, 1, sizes_got), -600);
  EXPECT(mooncake_store_batch_put_from(store, put_keys, values, NULL, 1, NULL, codes), -600);
  EXPECT(mooncake_store_remove_by_regex(store, "^[abxy]$", 0), 4);
}

/* Buffers that are too small, too large, nowhere. */
static void destinations(mooncake_store_t store) {
  char value[100];
  memset(value, 'v', sizeof value);
  EXPECT(mooncake_store_put(store, "hundred", value, 100, NULL), 0);
  for (int size = 99; size <= 128; size += size == 99 ? 1 : 28) {
    memset(buffer, 0x55, 256);
    EXPECT(mooncake_store_get_into(store, "hundred", buffer, (size_t)size), size < 100 ? -600 : 100);
    for (int b = 0; b < 256; b++) CHECK(buffer[b] == (size >= 100 && b < 100 ? 'v' : 0x55));
  }
  static char elsewhere[128];
  EXPECT(mooncake_store_get_into(store, "hundred", elsewhere, sizeof elsewhere), -600);
  SAYS("registered");
  CHECK(elsewhere[0] == 0);
  EXPECT(mooncake_store_put_from(store, "q", elsewhere, 128, NULL), -600);
  EXPECT(mooncake_store_put_from(store, "q", buffer + sizeof buffer - 64, 128, NULL), -600);
  EXPECT(mooncake_store_put_from(store, "q", NEAR_END, WRAPPING, NULL), -600);
  EXPECT(mooncake_store_put_from(store, "q", buffer, SIZE_MAX, NULL), -600);
  EXPECT(mooncake_store_put_from(store, "q", NULL, 1, NULL), -600);
  EXPECT(mooncake_store_put(store, "q", NEAR_END, WRAPPING, NULL), -600);
  EXPECT(mooncake_store_put(store, "q", buffer, SIZE_MAX, NULL), -600);
  EXPECT(mooncake_store_put(store, "q", NULL, 1, NULL), -600);
  EXPECT(mooncake_store_get_into(store, "hundred", NEAR_END, WRAPPING), -600);
  EXPECT(mooncake_store_get_into(store, "hundred", buffer, SIZE_MAX), -600);
  EXPECT(mooncake_store_get_into(store, "hundred", NULL, 100), -600);
  EXPECT(mooncake_store_is_exist(store, "q"), 0);
  /* An object of no bytes is an object. */
  EXPECT(mooncake_store_put(store, "empty", NULL, 0, NULL), 0);
  EXPECT(mooncake_store_is_exist(store, "empty"), 1);
  EXPECT(mooncake_store_get_size(store, "empty"), 0);
  EXPECT(mooncake_store_get_into(store, "empty", buffer, 1), 0);
  /* Registering. */
  EXPECT(mooncake_store_register_buffer(store, buffer + 10, 10), -600);
  SAYS("overlaps");
  EXPECT(mooncake_store_register_buffer(store, NULL, 10), -600);
  EXPECT(mooncake_store_register_buffer(store, elsewhere, 0), -600);
  EXPECT(mooncake_store_register_buffer(store, NEAR_END, WRAPPING), -600);
  EXPECT(mooncake_store_register_buffer(store, elsewhere, SIZE_MAX), -600);
  EXPECT(mooncake_store_register_buffer(store, elsewhere, sizeof elsewhere), 0);
  EXPECT(mooncake_store_get_into(store, "hundred", elsewhere, sizeof elsewhere), 100);
  EXPECT(mooncake_store_unregister_buffer(store, elsewhere + 1), -600);
  EXPECT(mooncake_store_unregister_buffer(store, elsewhere), 0);
  EXPECT(mooncake_store_unregister_buffer(store, elsewhere), -600);
  EXPECT(mooncake_store_unregister_buffer(store, NULL), -600);
  EXPECT(mooncake_store_get_into(store, "hundred", elsewhere, sizeof elsewhere), -600);
}

static void configs(mooncake_store_t store, const char *node) {
  const char *segments[] = {"nobody", node};
  mooncake_replicate_config_t config = {2, 1, 0, segments, 2};
  EXPECT(mooncake_store_put(store, "c1", "v", 1, &config), 0);
  config.replica_num = 0;
  config.with_hard_pin = 1;
  EXPECT(mooncake_store_put(store, "c2", "v", 1, &config), 0);
  config.replica_num = 65;
  EXPECT(mooncake_store_put(store, "c3", "v", 1, &config), -600);
  SAYS("replica_num");
  config.replica_num = SIZE_MAX;
  EXPECT(mooncake_store_put(store, "c3", "v", 1, &config), -600);
  config.replica_num = 1;
  config.preferred_segments = NULL;
  EXPECT(mooncake_store_put(store, "c3", "v", 1, &config), -600);
  config.preferred_segments = segments;
  config.preferred_segments_count = SIZE_MAX / 4;
  EXPECT(mooncake_store_put(store, "c3", "v", 1, &config), -600);
  config.preferred_segments_count = 1;
  segments[0] = NULL;
  EXPECT(mooncake_store_put(store, "c3", "v", 1, &config), -600);
  EXPECT(mooncake_store_is_exist(store, "c3"), 0);
  EXPECT(mooncake_store_remove_by_regex(store, "^c[0-9]$", 1), 2);
  EXPECT(mooncake_store_remove_by_regex(store, NULL, 0), -600);
  EXPECT(mooncake_store_remove_by_regex(store, "(", 0), -600);
  SAYS("(");
}

static void without_local_buffer(const char *node) {
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 0, "tcp", "", node), 0);
  EXPECT(mooncake_store_put(store, "nolocal", "v", 1, NULL), -600);
  EXPECT(mooncake_store_is_exist(store, "nolocal"), 0);
  EXPECT(mooncake_store_register_buffer(store, buffer, 64), 0);
  EXPECT(mooncake_store_put_from(store, "nolocal", buffer, 64, NULL), 0);
  EXPECT(mooncake_store_remove(store, "nolocal", 0), 0);
  mooncake_store_destroy(store);
}

/* A store that contributes memory is a node: with etcd named, and with a node asked for it. */
static void contributing(const char *node, const char *etcd) {
  char url[128], name[64], mine[32];
  snprintf(url, sizeof url, "etcd://%s", etcd);
  const char *metadata[] = {url, etcd, "P2PHANDSHAKE"};
  for (int i = 0; i < 3; i++) {
    /* What was known of a node's objects goes with it, yet not everywhere at once: each has a key of its own. */
    snprintf(mine, sizeof mine, "mine-%d", i);
    mooncake_store_t store = mooncake_store_create();
    EXPECT(mooncake_store_setup(store, "localhost", metadata[i], 32 << 20, 4096, "tcp", "", i == 0 ? url : node), 0);
    EXPECT(mooncake_store_get_hostname(store, name, sizeof name), 0);
    EXPECT(mooncake_store_health_check(store), 0);
    const char *self[] = {name};
    mooncake_replicate_config_t here = {1, 0, 0, self, 1};
    EXPECT(mooncake_store_put(store, mine, "of my own", 9, &here), 0);
    EXPECT(mooncake_store_register_buffer(store, buffer, sizeof buffer), 0);
    EXPECT(mooncake_store_get_into(store, mine, buffer, sizeof buffer), 9);
    mooncake_store_t other = opened(node);
    EXPECT(mooncake_store_get_into(other, mine, buffer, sizeof buffer), 9);
    mooncake_store_destroy(store);
    /* What it held goes with it, as soon as the owner has heard of it. */
    int64_t left = 0;
    for (time_t limit = time(NULL) + 20; left >= 0 && time(NULL) < limit;)
      left = mooncake_store_get_into(other, mine, buffer, sizeof buffer);
    CHECK(left < 0);
    (void)mooncake_store_remove(other, mine, 1);
    mooncake_store_destroy(other);
  }
  setenv("MOONCAKE_MASTER", node, 1);
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_init_all(store, NULL, "", 0), -600);
  EXPECT(mooncake_store_init_all(store, "tcp", NULL, 0), 0);
  EXPECT(mooncake_store_put(store, "init", "v", 1, NULL), 0);
  EXPECT(mooncake_store_remove(store, "init", 0), 0);
  mooncake_store_destroy(store);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  refusals_before_setup();
  bad_setups(argv[1]);
  handles(argv[1]);
  hostnames(argv[1]);
  mooncake_store_t store = opened(argv[1]);
  awkward_keys(store);
  same_key(store);
  batches(store);
  destinations(store);
  configs(store, argv[1]);
  without_local_buffer(argv[1]);
  CHECK(mooncake_store_remove_all(store, 1) >= 1);
  EXPECT(mooncake_store_is_exist(store, "hundred"), 0);
  mooncake_store_destroy(store);
  contributing(argv[1], argv[2]);
  return ended();
}
