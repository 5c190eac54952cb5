/* SPDX-License-Identifier: Apache-2.0
 *
 * Test double of the CUDA driver library: exports every name that the loader asks for. Built by the tests with
 *   -DDEVICES=n      number of devices
 *   -DINIT=n         what cuInit returns
 *   -DCOUNT=n        what cuDeviceGetCount returns
 *   -DNO_MEM_ALLOC   only the old cuMemAlloc is there, as in a driver before CUDA 3.2
 */
#ifndef DEVICES
#define DEVICES 0
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef COUNT
#define COUNT 0
#endif

int cuInit(unsigned flags) { return flags == 0 ? INIT : 1; }

int cuDeviceGetCount(int *count)
{
    *count = DEVICES;
    return COUNT;
}

#define STUB(name) int name(void) { return 999; }
STUB(cuDriverGetVersion) STUB(cuGetErrorName) STUB(cuDeviceGet) STUB(cuDevicePrimaryCtxRetain)
STUB(cuDevicePrimaryCtxRelease_v2) STUB(cuCtxPushCurrent_v2) STUB(cuCtxPopCurrent_v2) STUB(cuMemFree_v2)
STUB(cuMemHostAlloc) STUB(cuMemFreeHost) STUB(cuMemcpyHtoDAsync_v2) STUB(cuMemcpyDtoHAsync_v2)
STUB(cuMemcpyDtoDAsync_v2) STUB(cuStreamCreate) STUB(cuStreamSynchronize) STUB(cuStreamDestroy_v2)
STUB(cuPointerGetAttribute) STUB(cuIpcGetMemHandle) STUB(cuIpcOpenMemHandle_v2) STUB(cuIpcCloseMemHandle)
#ifdef NO_MEM_ALLOC
STUB(cuMemAlloc)
#else
STUB(cuMemAlloc_v2)
#endif
