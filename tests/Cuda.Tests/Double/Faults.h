/* SPDX-License-Identifier: Apache-2.0
 *
 * What a test may ask of the double: that a call fails, how often it was made, what is still there.
 */
#define EXPORT __attribute__((visibility("default")))
#define MOST_CALLS 128

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       INVALID_PTX = 218, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700,
       PEER_ENABLED = 704, NOT_SUPPORTED = 801 };

struct call { const char *name; long made; long fails_at; int code; int always; };

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct call calls[MOST_CALLS];
static long violations;

static struct call *call_named(const char *name)
{
    for (int i = 0; i < MOST_CALLS; i++) {
        if (!calls[i].name)
            calls[i].name = strdup(name);
        if (!strcmp(calls[i].name, name))
            return &calls[i];
    }
    abort();
}

/* The code that a call is to fail with now, or 0. */
static int fault(const char *name)
{
    pthread_mutex_lock(&gate);
    struct call *call = call_named(name);
    call->made++;
    int fails = call->always || call->made == call->fails_at;
    int code = fails ? call->code : OK;
    pthread_mutex_unlock(&gate);
    return code;
}

#define CALL(name) do { int code_ = fault(#name); if (code_) return code_; } while (0)

/* The nth call from now on fails, 1 being the next; 0: every one; a code of 0: none. */
EXPORT void double_fail(const char *name, long nth, int code)
{
    pthread_mutex_lock(&gate);
    struct call *call = call_named(name);
    call->always = nth == 0 && code != OK;
    call->fails_at = nth == 0 || code == OK ? 0 : call->made + nth;
    call->code = code;
    pthread_mutex_unlock(&gate);
}

EXPORT long double_calls(const char *name)
{
    pthread_mutex_lock(&gate);
    long made = call_named(name)->made;
    pthread_mutex_unlock(&gate);
    return made;
}

/* Calls of all names together. */
EXPORT long double_all_calls(void)
{
    long made = 0;
    pthread_mutex_lock(&gate);
    for (int i = 0; i < MOST_CALLS && calls[i].name; i++)
        made += calls[i].made;
    pthread_mutex_unlock(&gate);
    return made;
}
