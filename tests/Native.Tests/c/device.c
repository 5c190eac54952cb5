/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that uses a GPU passes memory of it: device.c NODE LIBCUDA. Nothing may follow its addresses; the double of
 * the driver has no host memory there.
 */
#include "check.h"

#include <dlfcn.h>
#include <store_c.h>

enum { LARGEST = (3 << 20) + 1 };

static void *cuda, *stream, *pinned;
static unsigned char host[LARGEST], back[LARGEST];

static void *symbol(const char *name) {
  void *found = dlsym(cuda, name);
  CHECK(found != NULL);
  return found;
}

/* Waits for what was put on the stream. */
static void settle(void) {
  int (*query)(void *) = symbol("cuStreamQuery");
  while (query(stream) == 600) {
  }
  EXPECT(query(stream), 0);
}

static void to_device(uintptr_t device, const void *bytes, size_t size) {
  int (*copy)(uintptr_t, const void *, size_t, void *) = symbol("cuMemcpyHtoDAsync_v2");
  memcpy(pinned, bytes, size);
  EXPECT(copy(device, pinned, size, stream), 0);
  settle();
}

static void from_device(void *bytes, uintptr_t device, size_t size) {
  int (*copy)(void *, uintptr_t, size_t, void *) = symbol("cuMemcpyDtoHAsync_v2");
  EXPECT(copy(pinned, device, size, stream), 0);
  settle();
  memcpy(bytes, pinned, size);
}

static uintptr_t allocate(size_t size) {
  int (*take)(uintptr_t *, size_t) = symbol("cuMemAlloc_v2");
  uintptr_t device = 0;
  EXPECT(take(&device, size), 0);
  return device;
}

static void begin_cuda(void) {
  int (*init)(unsigned) = symbol("cuInit");
  int (*retain)(void **, int) = symbol("cuDevicePrimaryCtxRetain");
  int (*push)(void *) = symbol("cuCtxPushCurrent_v2");
  int (*create)(void **, unsigned) = symbol("cuStreamCreate");
  int (*pin)(void **, size_t, unsigned) = symbol("cuMemHostAlloc");
  void *context = NULL;
  EXPECT(init(0), 0);
  EXPECT(retain(&context, 0), 0);
  EXPECT(push(context), 0);
  EXPECT(create(&stream, 1), 0);
  EXPECT(pin(&pinned, LARGEST, 0), 0);
}

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

int main(int count, char **arguments) {
  if (count != 3) return 2;
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 4096, "auto", "", arguments[1]), 0);
  EXPECT(mooncake_store_register_buffer(store, host, sizeof host), 0);
  EXPECT(mooncake_store_register_buffer(store, back, sizeof back), 0);
  EXPECT(mooncake_store_put_from(store, "before", host, 100, NULL), 0);

  CHECK((cuda = dlopen(arguments[2], RTLD_NOW)) != NULL);
  begin_cuda();
  uintptr_t a = allocate(LARGEST), b = allocate(LARGEST);
  EXPECT(mooncake_store_register_buffer(store, (void *)a, LARGEST), 0);
  EXPECT(mooncake_store_register_buffer(store, (void *)b, LARGEST), 0);
  size_t sizes[] = {1, 1000, 20000, 100000, LARGEST};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) moves(store, a, b, sizes[i]);
  EXPECT(mooncake_store_unregister_buffer(store, (void *)a), 0);
  mooncake_store_destroy(store);
  return ended();
}
