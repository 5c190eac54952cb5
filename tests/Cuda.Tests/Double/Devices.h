/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls for devices, contexts, memory, streams and events.
 */
#define FIRST_DEVICE 7 /* handles are no numbers of devices */
#define MOST_NESTED 16

static __thread struct context *stack[MOST_NESTED];
static __thread int depth;
static int initialized, strict_pointers, has_dma_buf = 1, can_peer = 1, alive_modules, can_flush = 1, seen_by;

#define LEAVE(code) do { int left_ = (code); pthread_mutex_unlock(&gate); return left_; } while (0)

/* Takes the gate and finds the current context, in a call that needs one. */
#define IN_CONTEXT(context) \
    struct context *context; \
    pthread_mutex_lock(&gate); \
    context = depth ? stack[depth - 1] : NULL; \
    if (!context || !context->retained) LEAVE(INVALID_CONTEXT); \
    if (context->broken) LEAVE(context->broken)

__attribute__((constructor)) static void begin(void)
{
    for (int i = 0; i < DEVICES; i++) {
        contexts[i].device = i;
        progress[i] = -1;
    }
}

EXPORT int cuInit(unsigned flags) { CALL(cuInit); initialized = 1; return flags == 0 ? INIT : INVALID_VALUE; }

EXPORT int cuDriverGetVersion(int *version) { CALL(cuDriverGetVersion); *version = VERSION; return OK; }

EXPORT int cuGetErrorName(int error, const char **name)
{
    CALL(cuGetErrorName);
    *name = error == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
        : error == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : error == INVALID_HANDLE ? "CUDA_ERROR_INVALID_HANDLE"
        : error == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : error == NOT_SUPPORTED ? "CUDA_ERROR_NOT_SUPPORTED"
        : error == 999 ? "CUDA_ERROR_UNKNOWN" : NULL;
    return *name ? OK : INVALID_VALUE;
}

EXPORT int cuDeviceGetCount(int *count)
{
    CALL(cuDeviceGetCount);
    *count = DEVICES;
    return initialized ? COUNT : NOT_INITIALIZED;
}

EXPORT int cuDeviceGet(int *device, int ordinal)
{
    CALL(cuDeviceGet);
    *device = FIRST_DEVICE + ordinal;
    return ordinal >= 0 && ordinal < DEVICES ? OK : INVALID_DEVICE;
}

EXPORT int cuDeviceGetName(char *name, int room, int device)
{
    CALL(cuDeviceGetName);
    snprintf(name, (size_t)room, "Double %d", device - FIRST_DEVICE);
    return OK;
}

EXPORT int cuDeviceGetPCIBusId(char *name, int room, int device)
{
    CALL(cuDeviceGetPCIBusId);
    snprintf(name, (size_t)room, "00000000:%02X:00.0", 0x3b + device - FIRST_DEVICE);
    return OK;
}

EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    CALL(cuDeviceGetAttribute);
    *value = attribute == 124 ? has_dma_buf : attribute == 117 ? can_flush : attribute == 118 ? seen_by : 0;
    return device >= FIRST_DEVICE ? OK : INVALID_DEVICE;
}

EXPORT int cuDevicePrimaryCtxRetain(struct context **context, int device)
{
    CALL(cuDevicePrimaryCtxRetain);
    if (device < FIRST_DEVICE || device >= FIRST_DEVICE + DEVICES)
        return INVALID_DEVICE;
    pthread_mutex_lock(&gate);
    *context = &contexts[device - FIRST_DEVICE];
    (*context)->retained++;
    LEAVE(OK);
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int device)
{
    CALL(cuDevicePrimaryCtxRelease_v2);
    pthread_mutex_lock(&gate);
    if (!contexts[device - FIRST_DEVICE].retained)
        LEAVE(INVALID_CONTEXT);
    contexts[device - FIRST_DEVICE].retained--;
    LEAVE(OK);
}

EXPORT int cuCtxPushCurrent_v2(struct context *context)
{
    CALL(cuCtxPushCurrent_v2);
    if (depth == MOST_NESTED || !context->retained)
        return INVALID_CONTEXT;
    stack[depth++] = context;
    return OK;
}

EXPORT int cuCtxPopCurrent_v2(struct context **context)
{
    CALL(cuCtxPopCurrent_v2);
    if (!depth)
        return INVALID_CONTEXT;
    *context = stack[--depth];
    return OK;
}

EXPORT int cuCtxGetDevice(int *device)
{
    CALL(cuCtxGetDevice);
    *device = depth ? FIRST_DEVICE + stack[depth - 1]->device : 0;
    return depth ? OK : INVALID_CONTEXT;
}

EXPORT int cuDeviceCanAccessPeer(int *can, int device, int peer)
{
    CALL(cuDeviceCanAccessPeer);
    *can = can_peer && device != peer;
    return OK;
}

EXPORT int cuCtxEnablePeerAccess(struct context *peer, unsigned flags)
{
    CALL(cuCtxEnablePeerAccess);
    IN_CONTEXT(context);
    if (flags || peer == context || !can_peer)
        LEAVE(INVALID_VALUE);
    int before = context->peers & 1 << peer->device;
    context->peers |= 1 << peer->device;
    LEAVE(before ? PEER_ENABLED : OK);
}

EXPORT int cuMemGetInfo_v2(size_t *available, size_t *total)
{
    CALL(cuMemGetInfo_v2);
    IN_CONTEXT(context);
    *total = (size_t)MEMORY_MIB << 20;
    *available = *total - used[context->device];
    LEAVE(OK);
}

#ifdef NO_MEM_ALLOC
EXPORT int cuMemAlloc(uintptr_t *address, unsigned bytes) { (void)address; (void)bytes; return 1; }
#else
EXPORT int cuMemAlloc_v2(uintptr_t *address, size_t bytes)
{
    CALL(cuMemAlloc_v2);
    IN_CONTEXT(context);
    if (!bytes)
        LEAVE(INVALID_VALUE);
    if (bytes > ((size_t)MEMORY_MIB << 20) - used[context->device])
        LEAVE(OUT_OF_MEMORY);
    used[context->device] += bytes;
    *address = new_region(KIND_DEVICE, context->device, bytes)->address;
    LEAVE(OK);
}
#endif

EXPORT int cuMemFree_v2(uintptr_t address)
{
    CALL(cuMemFree_v2);
    IN_CONTEXT(context);
    struct region *r = region_at(address, 1);
    if (!r || r->address != address || r->kind != KIND_DEVICE || r->device != context->device)
        LEAVE(INVALID_VALUE);
    wait_idle(r->device);
    used[r->device] -= r->length;
    drop_region(r);
    LEAVE(OK);
}

EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    CALL(cuMemHostAlloc);
    IN_CONTEXT(context);
    if (!bytes || flags > 7)
        LEAVE(INVALID_VALUE);
    *memory = new_region(KIND_HOST, context->device, bytes)->data;
    LEAVE(OK);
}

EXPORT int cuMemFreeHost(uintptr_t address)
{
    CALL(cuMemFreeHost);
    IN_CONTEXT(context);
    struct region *r = region_at(address, 1);
    if (!r || r->address != address || r->kind != KIND_HOST)
        LEAVE(INVALID_VALUE);
    wait_idle(context->device);
    drop_region(r);
    LEAVE(OK);
}

EXPORT int cuIpcGetMemHandle(struct handle *handle, uintptr_t address)
{
    CALL(cuIpcGetMemHandle);
    IN_CONTEXT(context);
    struct region *r = region_at(address, 1);
    if (!r || r->kind != KIND_DEVICE || r->device != context->device)
        LEAVE(INVALID_VALUE);
    memset(handle, 0, 64);
    *handle = (struct handle){ "double", getpid(), r->fd, r->device, r->id, r->length };
    LEAVE(OK);
}

struct bytes64 { char bytes[64]; };

EXPORT int cuIpcOpenMemHandle_v2(uintptr_t *address, struct bytes64 bytes, unsigned flags)
{
    CALL(cuIpcOpenMemHandle_v2);
    IN_CONTEXT(context);
    struct handle handle;
    char path[64];
    memcpy(&handle, &bytes, sizeof handle);
    if (!context || flags != 1 || memcmp(handle.magic, "double", 7))
        LEAVE(INVALID_VALUE);
#ifndef OWN_IPC
    if (handle.pid == getpid())
        LEAVE(INVALID_CONTEXT);
#endif
    for (struct region *r = regions; r; r = r->next) {
        if (r->kind == KIND_MAPPED && r->owner == handle.pid && r->id == handle.id) {
            r->opens++;
            *address = r->address;
            LEAVE(OK);
        }
    }
    snprintf(path, sizeof path, "/proc/%d/fd/%d", handle.pid, handle.fd);
    int fd = is_memfd(handle.pid, handle.fd, handle.id) ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        LEAVE(INVALID_HANDLE);
    struct region *r = add_region(KIND_MAPPED, handle.device, handle.length, fd);
    r->owner = handle.pid;
    r->owner_fd = handle.fd;
    r->id = handle.id;
    *address = r->address;
    LEAVE(OK);
}

EXPORT int cuIpcCloseMemHandle(uintptr_t address)
{
    CALL(cuIpcCloseMemHandle);
    IN_CONTEXT(context);
    struct region *r = region_at(address, 1);
    if (!r || r->address != address || r->kind != KIND_MAPPED)
        LEAVE(INVALID_VALUE);
    wait_idle(context->device);
    if (--r->opens == 0)
        drop_region(r);
    LEAVE(OK);
}

#ifndef NO_DMABUF
EXPORT int cuMemGetHandleForAddressRange(int *descriptor, uintptr_t address, size_t bytes, int type,
                                         unsigned long long flags)
{
    CALL(cuMemGetHandleForAddressRange);
    IN_CONTEXT(context);
    struct region *r = region_at(address, bytes);
    if (!has_dma_buf)
        LEAVE(NOT_SUPPORTED);
    if (!r || r->device != context->device || type != 1 || flags || !bytes || address % 4096 || bytes % 4096)
        LEAVE(INVALID_VALUE);
    *descriptor = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
    LEAVE(OK);
}
#endif

#ifndef NO_FLUSH
EXPORT int cuFlushGPUDirectRDMAWrites(int target, int scope)
{
    CALL(cuFlushGPUDirectRDMAWrites);
    IN_CONTEXT(context);
    LEAVE(target != 0 || (scope != 100 && scope != 200) ? INVALID_VALUE : !can_flush ? NOT_SUPPORTED : OK);
}
#endif

EXPORT int cuPointerGetAttributes(unsigned count, const int *attributes, void **values, uintptr_t address)
{
    CALL(cuPointerGetAttributes);
    pthread_mutex_lock(&gate);
    if (strict_pointers && !depth)
        LEAVE(INVALID_CONTEXT);
    struct region *r = region_at(address, 1);
    for (unsigned i = 0; i < count; i++) {
        switch (attributes[i]) {
        case 2: *(unsigned *)values[i] = !r ? 0 : r->kind == KIND_HOST ? 1 : 2; break;
        case 8: *(char *)values[i] = r && r->kind == KIND_MANAGED; break;
        case 9: *(int *)values[i] = r ? r->device : -2; break;
        case 10: *(char *)values[i] = r && r->plain; break;
        case 11: *(uintptr_t *)values[i] = r ? r->address : 0; break;
        case 12: *(size_t *)values[i] = r ? r->length : 0; break;
        default: LEAVE(INVALID_VALUE);
        }
    }
    LEAVE(OK);
}

/* How many there are: contexts, blocks, mapped blocks, pinned buffers, streams, events, modules; or contexts that this
 * thread has entered, or things that were asked for and are never right. */
EXPORT long double_alive(char what)
{
    long count = 0;
    pthread_mutex_lock(&gate);
    switch (what) {
    case 'c': for (int i = 0; i < DEVICES; i++) count += contexts[i].retained; break;
    case 'b': count = count_regions(KIND_DEVICE); break;
    case 'i': count = count_regions(KIND_MAPPED); break;
    case 'h': count = count_regions(KIND_HOST); break;
    case 's': count = count_streams(); break;
    case 'e': count = alive_events; break;
    case 'm': count = alive_modules; break;
    case 'd': count = depth; break;
    default: count = violations; break;
    }
    pthread_mutex_unlock(&gate);
    return count;
}

/* The host can flush what network cards have written; who sees it without that: 0 nobody, 100 the device, 200 all. */
EXPORT void double_flushes(int can, int ordering)
{
    can_flush = can;
    seen_by = ordering;
}

/* Pointers are looked at in a context only; there is dma-buf; the devices reach each other. */
EXPORT void double_ways(int strict, int dma_buf, int peer)
{
    strict_pointers = strict;
    has_dma_buf = dma_buf;
    can_peer = peer;
}
