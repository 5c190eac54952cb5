/* SPDX-License-Identifier: Apache-2.0
 *
 * Test double of the CUDA driver library: host memory behind the same calls. It refuses what the driver would: a thread
 * without a context, memory that was given back, a copy past its end. Built by the tests with
 *   -DDEVICES=n      number of devices
 *   -DMEMORY_MIB=n   memory of each
 *   -DVERSION=n      the newest CUDA that it knows
 *   -DINIT=n         what cuInit returns
 *   -DCOUNT=n        what cuDeviceGetCount returns
 *   -DNO_MEM_ALLOC   only the old cuMemAlloc is there, as in a driver before CUDA 3.2
 *   -DNO_BATCH       as a driver before CUDA 12.8
 *   -DNO_DMABUF      as a driver before CUDA 11.7
 *   -DNO_FLUSH       as a driver before CUDA 11.3
 *   -DNO_KERNEL      without the calls for kernels
 *   -DOWN_IPC        a process may map what it has shared itself, which the driver refuses
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef MEMORY_MIB
#define MEMORY_MIB 256
#endif
#ifndef VERSION
#define VERSION 12080
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef COUNT
#define COUNT 0
#endif

#include "Faults.h"
#include "Memory.h"
#include "Streams.h"
#include "Devices.h"
#include "Copies.h"
