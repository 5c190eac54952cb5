/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that uses a GPU passes memory of it: device.c NODE LIBCUDA. Nothing may follow its addresses; the double of
 * the driver has no host memory there.
 */
#include "device.h"

#include <stddef.h>
#include <store_c.h>

enum { LARGEST = (3 << 20) + 1 };

static unsigned char host[LARGEST], back[LARGEST];

/* From device to device, from host to device and from device to host. */
static void moves(mooncake_store_t store, uintptr_t a, uintptr_t b, size_t size) {
  char key[64], other[64];
  snprintf(key, sizeof key, "device-%zu", size);
  snprintf(other, sizeof other, "host-%zu", size);
  for (size_t i = 0; i < size; i++) host[i] = (unsigned char)(i * 31 + i / 251 + size);
  to_device(a, host, size);
  EXPECT(mooncake_store_put_from(store, key, (void *)a, size, NULL), 0);
  EXPECT(mooncake_store_get_into(store, key, (void *)b, size), size);
  from_device(back, b, size);
  CHECK(memcmp(host, back, size) == 0);
  memset(back, 0, size);
  EXPECT(mooncake_store_get_into(store, key, back, size), size);
  CHECK(memcmp(host, back, size) == 0);

  for (size_t i = 0; i < size; i++) host[i] ^= 0x5a;
  EXPECT(mooncake_store_put_from(store, other, host, size, NULL), 0);
  EXPECT(mooncake_store_get_into(store, other, (void *)a, size), size);
  from_device(back, a, size);
  CHECK(memcmp(host, back, size) == 0);
}

static int all_are(uintptr_t device, size_t size, unsigned char value) {
  from_device(back, device, size);
  for (size_t i = 0; i < size; i++)
    if (back[i] != value) return 0;
  return 1;
}

/* A call with a stream comes after what is on it, be it in one piece, in parts or in a batch. */
static void ordered(mooncake_mesh_t *mesh, void *on, uintptr_t a, uintptr_t b) {
  static int times;
  char key[64], parts_key[64], batch_key[64];
  snprintf(key, sizeof key, "ordered-%d", ++times);
  snprintf(parts_key, sizeof parts_key, "parts-%d", times);
  snprintf(batch_key, sizeof batch_key, "batch-%d", times);
  mooncake_mesh_put_options put = {.struct_size = sizeof put, .stream = on};
  mooncake_mesh_get_options get = {.struct_size = sizeof get, .stream = on};
  size_t half = LARGEST / 2, sizes[] = {half, LARGEST - half}, whole = LARGEST;
  const void *from[] = {(void *)a, (void *)(a + half)};
  void *to[] = {(void *)b, (void *)(b + half)}, *one = (void *)b;
  const void *keys[] = {batch_key}, *values[] = {(void *)a};
  size_t key_sizes[] = {strlen(batch_key)};
  int64_t result = 1;

  slow_kernel(on, 100, a, 11, LARGEST);
  EXPECT(mooncake_mesh_put(mesh, key, strlen(key), (void *)a, LARGEST, &put), 0);
  slow_kernel(on, 100, a, 12, LARGEST);
  EXPECT(mooncake_mesh_put_parts(mesh, parts_key, strlen(parts_key), from, sizes, 2, &put), 0);
  slow_kernel(on, 100, a, 13, LARGEST);
  EXPECT(mooncake_mesh_put_batch(mesh, keys, key_sizes, values, &whole, 1, &put, &result), 0);
  EXPECT(result, 0);

  slow_kernel(on, 100, b, 1, LARGEST);
  EXPECT(mooncake_mesh_get_into_with(mesh, key, strlen(key), (void *)b, LARGEST, &get), LARGEST);
  CHECK(all_are(b, LARGEST, 11));
  slow_kernel(on, 100, b, 2, LARGEST);
  EXPECT(mooncake_mesh_get_parts_with(mesh, parts_key, strlen(parts_key), to, sizes, 2, &get), LARGEST);
  CHECK(all_are(b, LARGEST, 12));
  slow_kernel(on, 100, b, 3, LARGEST);
  EXPECT(mooncake_mesh_get_range_with(mesh, key, strlen(key), 5, (void *)b, 1000, &get), 1000);
  CHECK(all_are(b, 1000, 11));
  slow_kernel(on, 100, b, 4, LARGEST);
  EXPECT(mooncake_mesh_get_batch_with(mesh, keys, key_sizes, &one, &whole, 1, &get, &result), 0);
  EXPECT(result, LARGEST);
  CHECK(all_are(b, LARGEST, 13));
  size_t part_counts[] = {2};
  slow_kernel(on, 100, b, 5, LARGEST);
  EXPECT(mooncake_mesh_get_parts_batch_with(mesh, keys, key_sizes, to, sizes, part_counts, 1, &get, &result), 0);
  EXPECT(result, LARGEST);
  CHECK(all_are(b, LARGEST, 13));
  uint64_t offset = 7;
  size_t some = 1000;
  slow_kernel(on, 100, b, 6, LARGEST);
  EXPECT(mooncake_mesh_get_range_batch_with(mesh, keys, key_sizes, &offset, &one, &some, 1, &get, &result), 0);
  EXPECT(result, 1000);
  CHECK(all_are(b, 1000, 13));

  /* Copies are made by other threads. */
  put.stream = get.stream = (void *)2;
  EXPECT(mooncake_mesh_put(mesh, key, strlen(key), (void *)a, 100, &put), -600);
  EXPECT(mooncake_mesh_get_into_with(mesh, key, strlen(key), (void *)b, LARGEST, &get), -600);
  SAYS("CU_STREAM_PER_THREAD");

  /* A host that was built before there were streams. */
  put.struct_size = offsetof(mooncake_mesh_put_options, stream);
  put.stream = (void *)4096;
  put.replace = 1;
  EXPECT(mooncake_mesh_put(mesh, key, strlen(key), host, 100, &put), 0);
  get.struct_size = 8;
  EXPECT(mooncake_mesh_get_into_with(mesh, key, strlen(key), host, 100, &get), -600);
  SAYS("struct_size");
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 4096, "auto", "", arguments[1]), 0);
  EXPECT(mooncake_store_register_buffer(store, host, sizeof host), 0);
  EXPECT(mooncake_store_register_buffer(store, back, sizeof back), 0);
  EXPECT(mooncake_store_put_from(store, "before", host, 100, NULL), 0);

  begin_cuda(arguments[2], LARGEST);
  uintptr_t a = allocate(LARGEST), b = allocate(LARGEST);
  EXPECT(mooncake_store_register_buffer(store, (void *)a, LARGEST), 0);
  EXPECT(mooncake_store_register_buffer(store, (void *)b, LARGEST), 0);
  size_t sizes[] = {1, 1000, 20000, 100000, LARGEST};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) moves(store, a, b, sizes[i]);
  EXPECT(mooncake_store_unregister_buffer(store, (void *)a), 0);
  mooncake_store_destroy(store);

  char options[128];
  mooncake_mesh_t *mesh = NULL;
  snprintf(options, sizeof options, "nodes=%s", arguments[1]);
  EXPECT(mooncake_mesh_open(options, &mesh), 0);
  ordered(mesh, stream, a, b);
  ordered(mesh, (void *)1, a, b);
  EXPECT(mooncake_mesh_close(mesh), 0);
  return ended();
}
