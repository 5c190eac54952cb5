/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams that run: each has a thread, which does what was put on it, in order, some time later. A device can be told
 * to stall: then its streams make no more progress, and calls that wait for it do not return.
 */
enum work { WORK_COPY, WORK_FILL, WORK_PIECES, WORK_RECORD, WORK_WAIT, WORK_SLOW };

struct stream;
struct context { int device, retained, broken, peers; struct stream *by_default; };

struct event { struct context *context; long latest, done; int alive; };

struct op {
    struct op *next;
    enum work work;
    uintptr_t to, from, lengths;
    size_t bytes;
    unsigned value, milliseconds;
    struct event *event;
    long serial;
};

struct stream { struct stream *next; struct context *context; struct op *head, *tail; int busy, alive, is_own; };

static struct context contexts[DEVICES + 1];
static struct stream *streams;
static long last_serial, copies_done;
static long progress[DEVICES + 1];
static int breaks[DEVICES + 1];
static unsigned latency;
static long alive_events;

/* Pieces of a table, as the kernel goes through them: by blocks, each with its share of every piece. */
static int copy_pieces(const struct op *op)
{
    const uintptr_t *to = (const uintptr_t *)op->to, *from = (const uintptr_t *)op->from;
    const size_t *lengths = (const size_t *)op->lengths;
    for (size_t i = 0; i < op->bytes; i++) {
        pthread_mutex_lock(&gate);
        char *target = any_data(to[i], lengths[i]), *source = any_data(from[i], lengths[i]);
        pthread_mutex_unlock(&gate);
        if (!target || !source)
            return ILLEGAL_ADDRESS;
        memcpy(target, source, lengths[i]);
    }
    return OK;
}

/* Does a copy; what it is to touch may have gone since it was put on the stream. Called without the gate. */
static int run_copy(const struct op *op)
{
    if (latency)
        usleep(latency);
    if (op->work == WORK_PIECES)
        return copy_pieces(op);
    if (op->milliseconds)
        usleep(op->milliseconds * 1000);
    pthread_mutex_lock(&gate);
    char *to = op->bytes ? any_data(op->to, op->bytes) : NULL;
    char *from = op->work == WORK_COPY ? any_data(op->from, op->bytes) : NULL;
    pthread_mutex_unlock(&gate);
    if (op->bytes && (!to || (op->work == WORK_COPY && !from)))
        return ILLEGAL_ADDRESS;
    if (op->work == WORK_COPY)
        memcpy(to, from, op->bytes);
    else if (op->bytes)
        memset(to, (int)op->value, op->bytes);
    return OK;
}

static void run(struct stream *s, struct op *op)
{
    int device = s->context->device, result = OK;
    if (op->work == WORK_RECORD) {
        if (op->event->done < op->serial)
            op->event->done = op->serial;
    } else if (op->work == WORK_WAIT) {
        while (op->event->done < op->serial)
            pthread_cond_wait(&changed, &gate);
    } else {
        pthread_mutex_unlock(&gate);
        result = run_copy(op);
        pthread_mutex_lock(&gate);
        copies_done++;
        if (breaks[device]) {
            result = breaks[device];
            breaks[device] = 0;
        }
        if (result)
            s->context->broken = result;
    }
    if (progress[device] > 0)
        progress[device]--;
}

static void *run_stream(void *argument)
{
    struct stream *s = argument;
    pthread_mutex_lock(&gate);
    while (s->alive || s->head) {
        if (!s->head || progress[s->context->device] == 0) {
            pthread_cond_wait(&changed, &gate);
            continue;
        }
        struct op *op = s->head;
        s->head = op->next;
        s->busy = 1;
        run(s, op);
        s->busy = 0;
        free(op);
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&gate);
    return NULL;
}

static struct stream *new_stream(struct context *context)
{
    struct stream *s = calloc(1, sizeof *s);
    *s = (struct stream){ .next = streams, .context = context, .alive = 1 };
    streams = s;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_stream, s))
        abort();
    pthread_detach(thread);
    return s;
}

/* 0 and 1 name the default stream of a context, which is there from its first use on. */
static struct stream *named(struct stream *s, struct context *context)
{
    if ((uintptr_t)s > 1)
        return s;
    if (!context)
        return NULL;
    if (!context->by_default) {
        context->by_default = new_stream(context);
        context->by_default->is_own = 1;
    }
    return context->by_default;
}

static void put(struct stream *s, struct op op)
{
    struct op *copy = malloc(sizeof op);
    *copy = op;
    copy->next = NULL;
    if (s->head)
        s->tail->next = copy;
    else
        s->head = copy;
    s->tail = copy;
    pthread_cond_broadcast(&changed);
}

static int is_idle(int device)
{
    for (struct stream *s = streams; s; s = s->next)
        if (s->context->device == device && (s->busy || s->head))
            return 0;
    return 1;
}

/* What a real driver does when memory is given back. */
static void wait_idle(int device)
{
    while (!is_idle(device))
        pthread_cond_wait(&changed, &gate);
}

static long count_streams(void)
{
    long count = 0;
    for (struct stream *s = streams; s; s = s->next)
        count += s->alive && !s->is_own;
    return count;
}

/* Has a device stop after so many more works; -1: lets it go on. */
EXPORT void double_stall(int device, long after)
{
    pthread_mutex_lock(&gate);
    progress[device] = after;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&gate);
}

/* The next copy of a device fails, and everything in its context after it. */
EXPORT void double_break(int device, int code)
{
    pthread_mutex_lock(&gate);
    breaks[device] = code;
    pthread_mutex_unlock(&gate);
}

/* Microseconds that each copy takes. */
EXPORT void double_latency(unsigned microseconds) { latency = microseconds; }

/* A kernel of the caller's that takes its time and then writes; 0 and 1: on the first device's default stream. */
EXPORT void double_slow(struct stream *s, unsigned milliseconds, uintptr_t to, unsigned value, size_t bytes)
{
    pthread_mutex_lock(&gate);
    s = named(s, &contexts[0]);
    put(s, (struct op){ .work = WORK_SLOW, .to = to, .value = value, .bytes = bytes, .milliseconds = milliseconds });
    pthread_mutex_unlock(&gate);
}

EXPORT long double_copies(void)
{
    pthread_mutex_lock(&gate);
    long done = copies_done;
    pthread_mutex_unlock(&gate);
    return done;
}
