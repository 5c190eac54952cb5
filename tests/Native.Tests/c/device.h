/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_H
#define DEVICE_H

/*
 * What a host that uses a GPU does with it, through the double of the driver, whose memory nobody may follow: its
 * streams run by themselves, and it has no host memory at the addresses that it gives out.
 */
#include "check.h"

#include <dlfcn.h>

static void *cuda, *stream, *pinned;

static void *symbol(const char *name) {
  void *found = dlsym(cuda, name);
  CHECK(found != NULL);
  return found;
}

/* Waits for what was put on the stream. */
static inline void settle(void) {
  int (*query)(void *) = symbol("cuStreamQuery");
  while (query(stream) == 600) {
  }
  EXPECT(query(stream), 0);
}

static inline void to_device(uintptr_t device, const void *bytes, size_t size) {
  int (*copy)(uintptr_t, const void *, size_t, void *) = symbol("cuMemcpyHtoDAsync_v2");
  memcpy(pinned, bytes, size);
  EXPECT(copy(device, pinned, size, stream), 0);
  settle();
}

static inline void from_device(void *bytes, uintptr_t device, size_t size) {
  int (*copy)(void *, uintptr_t, size_t, void *) = symbol("cuMemcpyDtoHAsync_v2");
  EXPECT(copy(pinned, device, size, stream), 0);
  settle();
  memcpy(bytes, pinned, size);
}

static inline uintptr_t allocate(size_t size) {
  int (*take)(uintptr_t *, size_t) = symbol("cuMemAlloc_v2");
  uintptr_t device = 0;
  EXPECT(take(&device, size), 0);
  return device;
}

/* A kernel that takes its time and then fills memory. */
static inline void slow_kernel(void *on, unsigned milliseconds, uintptr_t to, unsigned value, size_t size) {
  void (*slow)(void *, unsigned, uintptr_t, unsigned, size_t) = symbol("double_slow");
  slow(on, milliseconds, to, value, size);
}

/* Has the first device stop after so many more works; -1: lets it go on. */
static inline void stall(long after) {
  void (*stop)(int, long) = symbol("double_stall");
  stop(0, after);
}

/* Begins CUDA on this thread, with a stream, and pinned memory of so many bytes. */
static inline void begin_cuda(const char *library, size_t largest) {
  CHECK((cuda = dlopen(library, RTLD_NOW)) != NULL);
  int (*init)(unsigned) = symbol("cuInit");
  int (*get)(int *, int) = symbol("cuDeviceGet");
  int (*retain)(void **, int) = symbol("cuDevicePrimaryCtxRetain");
  int (*push)(void *) = symbol("cuCtxPushCurrent_v2");
  int (*create)(void **, unsigned) = symbol("cuStreamCreate");
  int (*pin)(void **, size_t, unsigned) = symbol("cuMemHostAlloc");
  void *context = NULL;
  int device = -1;
  EXPECT(init(0), 0);
  EXPECT(get(&device, 0), 0);
  EXPECT(retain(&context, device), 0);
  EXPECT(push(context), 0);
  EXPECT(create(&stream, 1), 0);
  EXPECT(pin(&pinned, largest, 0), 0);
}

static inline void mixed(unsigned char *bytes, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
}

#endif
