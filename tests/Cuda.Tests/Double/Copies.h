/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that put work on a stream, and those for streams, events and kernels.
 */
#define KERNEL "mooncake_mesh_copy_pieces"

/* A stream of the current context; 0 and 1 are its default stream. */
#define ON_STREAM(s) \
    IN_CONTEXT(context); \
    s = named(s, context); \
    if (!is_stream(s) || s->context != context) LEAVE(INVALID_HANDLE)

static int is_stream(struct stream *wanted)
{
    for (struct stream *s = streams; s; s = s->next)
        if (s == wanted)
            return s->alive;
    return 0;
}

EXPORT int cuStreamCreate(struct stream **made, unsigned flags)
{
    CALL(cuStreamCreate);
    IN_CONTEXT(context);
    if (flags > 1)
        LEAVE(INVALID_VALUE);
    *made = new_stream(context);
    LEAVE(OK);
}

EXPORT int cuStreamQuery(struct stream *s)
{
    CALL(cuStreamQuery);
    ON_STREAM(s);
    LEAVE(s->busy || s->head ? NOT_READY : OK);
}

EXPORT int cuStreamDestroy_v2(struct stream *s)
{
    CALL(cuStreamDestroy_v2);
    ON_STREAM(s);
    s->alive = 0;
    pthread_cond_broadcast(&changed);
    LEAVE(OK);
}

EXPORT int cuEventCreate(struct event **made, unsigned flags)
{
    CALL(cuEventCreate);
    IN_CONTEXT(context);
    if (flags != 2)
        LEAVE(INVALID_VALUE);
    *made = calloc(1, sizeof **made);
    **made = (struct event){ .context = context, .alive = 1 };
    alive_events++;
    LEAVE(OK);
}

EXPORT int cuEventRecord(struct event *event, struct stream *s)
{
    CALL(cuEventRecord);
    ON_STREAM(s);
    if (!event->alive || event->context != context)
        LEAVE(INVALID_HANDLE);
    event->latest = ++last_serial;
    put(s, (struct op){ .work = WORK_RECORD, .event = event, .serial = event->latest });
    LEAVE(OK);
}

EXPORT int cuEventQuery(struct event *event)
{
    CALL(cuEventQuery);
    IN_CONTEXT(context);
    if (!event->alive || event->context != context)
        LEAVE(INVALID_HANDLE);
    LEAVE(event->done < event->latest ? NOT_READY : OK);
}

EXPORT int cuEventDestroy_v2(struct event *event)
{
    CALL(cuEventDestroy_v2);
    IN_CONTEXT(context);
    if (!event->alive || event->context != context)
        LEAVE(INVALID_HANDLE);
    /* What still has to come finds it: it is never given back. */
    event->alive = 0;
    alive_events--;
    LEAVE(OK);
}

EXPORT int cuStreamWaitEvent(struct stream *s, struct event *event, unsigned flags)
{
    CALL(cuStreamWaitEvent);
    pthread_mutex_lock(&gate);
    s = named(s, depth ? stack[depth - 1] : NULL);
    if (!is_stream(s) || !event->alive || flags)
        LEAVE(INVALID_HANDLE);
    put(s, (struct op){ .work = WORK_WAIT, .event = event, .serial = event->latest });
    LEAVE(OK);
}

EXPORT int cuMemcpyHtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, struct stream *s)
{
    CALL(cuMemcpyHtoDAsync_v2);
    ON_STREAM(s);
    if (!device_data(to, bytes, context->device) || !host_data(from, bytes))
        LEAVE(INVALID_VALUE);
    put(s, (struct op){ .work = WORK_COPY, .to = to, .from = from, .bytes = bytes });
    LEAVE(OK);
}

EXPORT int cuMemcpyDtoHAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, struct stream *s)
{
    CALL(cuMemcpyDtoHAsync_v2);
    ON_STREAM(s);
    if (!device_data(from, bytes, context->device) || !host_data(to, bytes))
        LEAVE(INVALID_VALUE);
    put(s, (struct op){ .work = WORK_COPY, .to = to, .from = from, .bytes = bytes });
    LEAVE(OK);
}

EXPORT int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, struct stream *s)
{
    CALL(cuMemcpyDtoDAsync_v2);
    ON_STREAM(s);
    if (!device_data(from, bytes, context->device) || !device_data(to, bytes, context->device))
        LEAVE(INVALID_VALUE);
    put(s, (struct op){ .work = WORK_COPY, .to = to, .from = from, .bytes = bytes });
    LEAVE(OK);
}

EXPORT int cuMemcpyPeerAsync(uintptr_t to, struct context *target, uintptr_t from, struct context *source,
                             size_t bytes, struct stream *s)
{
    CALL(cuMemcpyPeerAsync);
    ON_STREAM(s);
    if (!target->retained || !source->retained)
        LEAVE(INVALID_CONTEXT);
    if (!device_data(from, bytes, source->device) || !device_data(to, bytes, target->device))
        LEAVE(INVALID_VALUE);
    put(s, (struct op){ .work = WORK_COPY, .to = to, .from = from, .bytes = bytes });
    LEAVE(OK);
}

EXPORT int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, struct stream *s)
{
    CALL(cuMemsetD8Async);
    ON_STREAM(s);
    if (!device_data(to, bytes, context->device))
        LEAVE(INVALID_VALUE);
    put(s, (struct op){ .work = WORK_FILL, .to = to, .value = value, .bytes = bytes });
    LEAVE(OK);
}

#ifndef NO_BATCH
struct attributes { int order, hints[4]; unsigned flags; };

EXPORT int cuMemcpyBatchAsync(const uintptr_t *to, const uintptr_t *from, const size_t *bytes, size_t count,
                              const struct attributes *attributes, const size_t *firsts, size_t attribute_count,
                              size_t *refused, struct stream *s)
{
    CALL(cuMemcpyBatchAsync);
    ON_STREAM(s);
    if (!count || attribute_count != 1 || firsts[0] || attributes->order < 1 || attributes->order > 3
        || attributes->flags)
        LEAVE(INVALID_VALUE);
    for (size_t i = 0; i < count; i++) {
        *refused = i;
        int reads = device_data(from[i], bytes[i], context->device) != NULL;
        if (!bytes[i] || !host_data(reads ? to[i] : from[i], bytes[i])
            || (!reads && !device_data(to[i], bytes[i], context->device)))
            LEAVE(INVALID_VALUE);
    }
    /* In no order: here, in the opposite one. */
    for (size_t i = count; i-- > 0;)
        put(s, (struct op){ .work = WORK_COPY, .to = to[i], .from = from[i], .bytes = bytes[i] });
    LEAVE(OK);
}
#endif

#ifndef NO_KERNEL
static int kernel_code, kernel_module;

EXPORT int cuModuleLoadData(void **module, const char *text)
{
    CALL(cuModuleLoadData);
    IN_CONTEXT(context);
    const char *end = text ? strrchr(text, '}') : NULL;
    if (!context || !end || strncmp(text, ".version 6.5", 12) || !strstr(text, ".entry " KERNEL "("))
        LEAVE(INVALID_PTX);
    *module = &kernel_module;
    alive_modules++;
    LEAVE(OK);
}

EXPORT int cuModuleGetFunction(void **function, void *module, const char *name)
{
    CALL(cuModuleGetFunction);
    IN_CONTEXT(context);
    if (!context || module != &kernel_module)
        LEAVE(INVALID_HANDLE);
    *function = &kernel_code;
    LEAVE(strcmp(name, KERNEL) ? NOT_FOUND : OK);
}

EXPORT int cuModuleUnload(void *module)
{
    CALL(cuModuleUnload);
    IN_CONTEXT(context);
    if (!context || module != &kernel_module)
        LEAVE(INVALID_HANDLE);
    alive_modules--;
    LEAVE(OK);
}

EXPORT int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                          unsigned threads_z, unsigned shared, struct stream *s, void **arguments, void **extra)
{
    CALL(cuLaunchKernel);
    ON_STREAM(s);
    uintptr_t to = *(uintptr_t *)arguments[0], from = *(uintptr_t *)arguments[1], lengths = *(uintptr_t *)arguments[2];
    size_t column = x * sizeof(uintptr_t);
    if (function != &kernel_code || !x || !y || z != 1 || !threads || threads > 1024 || threads_y != 1
        || threads_z != 1 || shared || extra)
        LEAVE(INVALID_VALUE);
    if (!host_data(to, column) || !host_data(from, column) || !host_data(lengths, column))
        LEAVE(INVALID_VALUE);
    put(s, (struct op){ .work = WORK_PIECES, .to = to, .from = from, .lengths = lengths, .bytes = x });
    LEAVE(OK);
}
#endif
