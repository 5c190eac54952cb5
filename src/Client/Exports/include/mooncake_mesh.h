/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOONCAKE_MESH_H
#define MOONCAKE_MESH_H

/*
 * Mooncake.Mesh from C: a client of a mesh, or a node in this process. Link with -lmooncake_mesh.
 *
 * Every function may be called by any thread, many at once. Those that return int64_t return a result of 0 or more, or
 * one of the negative codes below; mooncake_mesh_last_error() says why. Keys are 1 to 65536 bytes, compared byte for
 * byte. Batches give one result per position, in order; what is wrong with one position changes no other.
 * No function touches memory that it was given once it has returned, unless it returned MOONCAKE_MESH_PENDING.
 *
 * After fork() the child answers MOONCAKE_MESH_FORKED: use the library in one of the two alone.
 * The library is never unloaded: dlclose() leaves it where it is.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- codes ------------------------------------------------------------------------------------------------------- */

#define MOONCAKE_MESH_OK 0
#define MOONCAKE_MESH_INTERNAL (-1)
#define MOONCAKE_MESH_SEGMENT_ALREADY_EXISTS (-102) /* a living node has this id */
#define MOONCAKE_MESH_NO_SPACE (-200)               /* no room, or a limit of pins or views: try again later */
#define MOONCAKE_MESH_INVALID_KEY (-400)            /* over 65536 bytes */
#define MOONCAKE_MESH_INVALID_PARAMS (-600)
#define MOONCAKE_MESH_ILLEGAL_CLIENT (-601) /* no cluster secret in common */
#define MOONCAKE_MESH_NOT_FOUND (-704)
#define MOONCAKE_MESH_TRANSFER_FAIL (-800)
#define MOONCAKE_MESH_RPC_FAIL (-900)    /* nobody who could answer can be reached */
#define MOONCAKE_MESH_RPC_TIMEOUT (-901) /* whether it took effect is not known */
#define MOONCAKE_MESH_ETCD_ERROR (-1000)
#define MOONCAKE_MESH_UNAVAILABLE (-1010) /* busy, or closed meanwhile */
#define MOONCAKE_MESH_NOT_SUPPORTED (-1012)
#define MOONCAKE_MESH_PENDING (-2000)        /* goes on: mooncake_mesh_wait() or mooncake_mesh_cancel() */
#define MOONCAKE_MESH_CANCELLED (-2001)      /* given up: interrupted, or its handle was closed */
#define MOONCAKE_MESH_FORKED (-2002)         /* in a forked child */
#define MOONCAKE_MESH_BAD_HANDLE (-2003)     /* not open, or closed before */
#define MOONCAKE_MESH_SECOND_LIBRARY (-2004) /* another copy of the library is in use in this process */

/* ---- the library ------------------------------------------------------------------------------------------------- */

/* Grows when functions are added; 2 here. */
int mooncake_mesh_api_version(void);

/* As "1.2.3"; stays in place. */
const char *mooncake_mesh_version(void);

/* Why this thread's last call that failed did; "" before the first. In place until its next call. Never NULL. */
const char *mooncake_mesh_last_error(void);

/* Frees what a function returned in new memory; NULL is nothing. */
void mooncake_mesh_free(void *memory);

/* ---- opening ----------------------------------------------------------------------------------------------------- */

typedef struct mooncake_mesh mooncake_mesh_t;
typedef struct mooncake_mesh_view mooncake_mesh_view_t;

/*
 * Opens a client. Options are "name=value" separated by ';' or lines, or one object of JSON:
 *
 *   mooncake_mesh_open("nodes=10.0.0.7:7300", &mesh);
 *   mooncake_mesh_open("{\"etcd_endpoints\": \"10.0.0.1:2379\", \"segment_size\": \"4GiB\"}", &mesh);
 *
 * nodes              HOST:PORT,... of any nodes; one that answers is enough
 * etcd_endpoints     where to find nodes, if none are named; where a node of this process registers
 * cluster            name of the mesh (default)
 * segment_size       memory this process contributes; more than 0 makes it a node (0)
 * hostname           HOST[:PORT]: the client's name, and where its node listens (localhost; a port from 12300 to 14300)
 * node_id, listen, lease_ttl_ms, insecure          of that node, as in the daemon's configuration
 * registry           embedded: a mesh of this process alone, without etcd (etcd)
 * secret_file        file with the cluster secret
 * etcd_user, etcd_password_file, etcd_ca, etcd_cert, etcd_key
 * transport          auto, tcp, shm or rdma (auto); rdma_devices NAME,...; rails IP,...; same_host true or false (true)
 * connect_timeout_ms (5000), timeout_ms of calls that move no value (1000), get_timeout_ms, put_timeout_ms (by size)
 * verify             compare what is got with its checksum (true)
 * slice_ms           how long a call blocks before it is pending; 0: to its end (0)
 *
 * The environment variables MOONCAKE_MESH_CLUSTER, _SECRET_FILE, _INSECURE, _ETCD_USER, _ETCD_PASSWORD_FILE, _ETCD_CA,
 * _ETCD_CERT, _ETCD_KEY, _RDMA_DEVICES, _RAILS, _TIMEOUT_MS, _GET_TIMEOUT_MS and _PUT_TIMEOUT_MS count where an option
 * was not given.
 */
int64_t mooncake_mesh_open(const char *options, mooncake_mesh_t **mesh);

/* Closes it: calls under way are given up and waited for; views stay until they are closed. */
int64_t mooncake_mesh_close(mooncake_mesh_t *mesh);

/* 0: a node answers. */
int64_t mooncake_mesh_health(mooncake_mesh_t *mesh);

/* The client's name, host:port, with a NUL; INVALID_PARAMS where the buffer is too small. */
int64_t mooncake_mesh_hostname(mooncake_mesh_t *mesh, char *buffer, size_t length);

/* Status of a node (id, endpoint or host name; NULL: the first that answers) as JSON in new memory; its length. */
int64_t mooncake_mesh_status(mooncake_mesh_t *mesh, const char *node, char **json, size_t *size);

/*
 * Notes memory as this client's: store_c.h moves objects only from and to registered memory, the functions here from
 * and to any. Ranges must not overlap. It is the caller's, and stays so.
 */
int64_t mooncake_mesh_register_buffer(mooncake_mesh_t *mesh, void *buffer, size_t size);
int64_t mooncake_mesh_unregister_buffer(mooncake_mesh_t *mesh, void *buffer);

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/*
 * With slice_ms a call that takes longer returns MOONCAKE_MESH_PENDING: the host does what it has to (looks for
 * signals, say) and goes on by mooncake_mesh_wait on the same thread, which returns PENDING again, or what the call
 * returns. mooncake_mesh_cancel gives the call up. The memory the call was given stays where it is until either has
 * returned something else. A thread has one pending call at most.
 */
int64_t mooncake_mesh_wait(int milliseconds);
int64_t mooncake_mesh_cancel(void);

/*
 * For hosts that would rather be asked: check(context) is called by every thread that waits in a call, every 50 ms;
 * other than 0 gives the call up. It must not call the library, nor leave by an exception or a jump. NULL: nobody is
 * asked.
 */
int64_t mooncake_mesh_set_interrupt(int (*check)(void *context), void *context);

/* ---- objects ----------------------------------------------------------------------------------------------------- */

/* What a put asks for; NULL and fields of 0 are the defaults. */
typedef struct mooncake_mesh_put_options {
  size_t struct_size;         /* sizeof(mooncake_mesh_put_options) */
  int32_t replicas;           /* copies wanted, 1 to 64 (1) */
  int32_t pin;                /* 1: evicted last, for 30 minutes; 2: never evicted */
  int32_t placement;          /* 0: near; 1: spread by capacity; 2: preferred_node */
  int32_t replace;            /* 1: the value takes the place of the one that is there; 0: the first stays */
  int64_t timeout_ms;         /* (by size) */
  const char *preferred_node; /* id, endpoint or host name */
  const char *group;          /* evicted as a whole */
  const char *const *groups;  /* in a batch: the group of each position, in place of group */
  void *stream;               /* what reading GPU memory comes after, as of a get; since api_version 2 */
} mooncake_mesh_put_options;

/*
 * What a get asks for. stream is a CUstream or cudaStream_t of the GPU that the memory is on: the call begins when the
 * work that is on it so far is done, and what is put on it once the call has returned sees the bytes. NULL: the work is
 * done already. The default stream is (void *)1 (CU_STREAM_LEGACY); that of a thread, (void *)2, is refused.
 */
typedef struct mooncake_mesh_get_options {
  size_t struct_size; /* sizeof(mooncake_mesh_get_options) */
  void *stream;       /* (NULL) */
} mooncake_mesh_get_options;

/* 0; also when the key has an object already, which stays. A NULL value of 0 bytes is legal. */
int64_t mooncake_mesh_put(mooncake_mesh_t *mesh, const void *key, size_t key_size, const void *value, size_t size,
                          const mooncake_mesh_put_options *options);

/* The same, of a value in up to 4096 parts. */
int64_t mooncake_mesh_put_parts(mooncake_mesh_t *mesh, const void *key, size_t key_size, const void *const *parts,
                                const size_t *sizes, size_t count, const mooncake_mesh_put_options *options);

/* The object's size; bytes after it are not touched, and none when it does not fit or is not whole. */
int64_t mooncake_mesh_get_into(mooncake_mesh_t *mesh, const void *key, size_t key_size, void *buffer, size_t size);

/* The same, into up to 4096 parts filled one after the other. */
int64_t mooncake_mesh_get_parts(mooncake_mesh_t *mesh, const void *key, size_t key_size, void *const *parts,
                                const size_t *sizes, size_t count);

/* size bytes of the object from offset on; INVALID_PARAMS where it ends before. */
int64_t mooncake_mesh_get_range(mooncake_mesh_t *mesh, const void *key, size_t key_size, uint64_t offset, void *buffer,
                                size_t size);

/* The same three, with options, which may be NULL. */
int64_t mooncake_mesh_get_into_with(mooncake_mesh_t *mesh, const void *key, size_t key_size, void *buffer, size_t size,
                                    const mooncake_mesh_get_options *options);
int64_t mooncake_mesh_get_parts_with(mooncake_mesh_t *mesh, const void *key, size_t key_size, void *const *parts,
                                     const size_t *sizes, size_t count, const mooncake_mesh_get_options *options);
int64_t mooncake_mesh_get_range_with(mooncake_mesh_t *mesh, const void *key, size_t key_size, uint64_t offset,
                                     void *buffer, size_t size, const mooncake_mesh_get_options *options);

/* The object in new memory, with a NUL after it. */
int64_t mooncake_mesh_get(mooncake_mesh_t *mesh, const void *key, size_t key_size, void **data, size_t *size);

int64_t mooncake_mesh_get_size(mooncake_mesh_t *mesh, const void *key, size_t key_size);

/* 1 or 0. Looking does not keep an object from being evicted. */
int64_t mooncake_mesh_exists(mooncake_mesh_t *mesh, const void *key, size_t key_size);

int64_t mooncake_mesh_remove(mooncake_mesh_t *mesh, const void *key, size_t key_size);

/* Removes every object whose key the expression matches anywhere; how many there were. */
int64_t mooncake_mesh_remove_by_regex(mooncake_mesh_t *mesh, const char *pattern);

/* Removes everything; how many copies the nodes had when it began. */
int64_t mooncake_mesh_remove_all(mooncake_mesh_t *mesh);

/*
 * An object of a node of this host where it lies, for reading alone: its size. The bytes stay in place, also when the
 * object is removed, until the view is closed. UNAVAILABLE or RPC_FAIL: no node of this host lends it, so get it.
 */
int64_t mooncake_mesh_view_open(mooncake_mesh_t *mesh, const void *key, size_t key_size, int verify,
                                mooncake_mesh_view_t **view, const void **data, size_t *size);
int64_t mooncake_mesh_view_close(mooncake_mesh_view_t *view);

/* ---- batches, of up to 1048576 positions ------------------------------------------------------------------------- */

/* 0 when every position has its result. Of a key named twice the first value wins; replacing, the last. */
int64_t mooncake_mesh_put_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                const void *const *values, const size_t *sizes, size_t count,
                                const mooncake_mesh_put_options *options, int64_t *results);

/* The parts of all values one after the other; part_counts says how many each has. */
int64_t mooncake_mesh_put_parts_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                      const void *const *parts, const size_t *sizes, const size_t *part_counts,
                                      size_t count, const mooncake_mesh_put_options *options, int64_t *results);

int64_t mooncake_mesh_get_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                void *const *buffers, const size_t *sizes, size_t count, int64_t *results);

int64_t mooncake_mesh_get_parts_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                      void *const *parts, const size_t *sizes, const size_t *part_counts, size_t count,
                                      int64_t *results);

int64_t mooncake_mesh_get_range_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                      const uint64_t *offsets, void *const *buffers, const size_t *sizes, size_t count,
                                      int64_t *results);

/* The same three, with options, which may be NULL. */
int64_t mooncake_mesh_get_batch_with(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                     void *const *buffers, const size_t *sizes, size_t count,
                                     const mooncake_mesh_get_options *options, int64_t *results);
int64_t mooncake_mesh_get_parts_batch_with(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                           void *const *parts, const size_t *sizes, const size_t *part_counts,
                                           size_t count, const mooncake_mesh_get_options *options, int64_t *results);
int64_t mooncake_mesh_get_range_batch_with(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                           const uint64_t *offsets, void *const *buffers, const size_t *sizes,
                                           size_t count, const mooncake_mesh_get_options *options, int64_t *results);

int64_t mooncake_mesh_exists_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                   size_t count, int64_t *results);

int64_t mooncake_mesh_get_size_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                     size_t count, int64_t *results);

int64_t mooncake_mesh_remove_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                   size_t count, int64_t *results);

/* Keys from the start of a chain of blocks that are all there; present, if not NULL, gets 1 or 0 of each key. */
int64_t mooncake_mesh_match_prefix(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                   size_t count, uint8_t *present);

/* Where objects are, as JSON in new memory: [{"size": SIZE or code, "copies": N, "nodes": ["id", ...]}, ...]. */
int64_t mooncake_mesh_locate_batch(mooncake_mesh_t *mesh, const void *const *keys, const size_t *key_sizes,
                                   size_t count, char **json, size_t *size);

/* ---- transfer engines, beyond transfer_engine_c.h, whose numbers these functions return -------------------------- */

struct transfer_request;

/* Memory of the engine, zeroed and registered; peers on this host map it, so that transfers with them are copies. */
int64_t mooncake_mesh_engine_allocate(void *engine, size_t length, void **memory);
int64_t mooncake_mesh_engine_free(void *engine, void *memory, size_t length);

/* Where the first registered memory of an open segment begins, as an address in its process. */
int64_t mooncake_mesh_engine_first_buffer(void *engine, int32_t segment, uint64_t *address);

/* Which RDMA devices serve which memory, as JSON in new memory; devices: NAME,... or NULL for all. */
int64_t mooncake_mesh_engine_topology(void *engine, const char *devices, char **json, size_t *size);

/* Whether an engine answers to this name. */
int64_t mooncake_mesh_engine_probe(void *engine, const char *name);

/*
 * Starts requests and waits so long for all of them: 0 and the worst STATUS_, or MOONCAKE_MESH_PENDING and the batch,
 * which is waited for by mooncake_mesh_engine_wait and then freed by freeBatchID.
 */
int64_t mooncake_mesh_engine_transfer(void *engine, struct transfer_request *requests, size_t count, int milliseconds,
                                      int *status, uint64_t *batch);

/*
 * The same, ordered on a stream of CUDA: it waits until the work that is on the stream so far is done (for as long as a
 * transfer may take; then the status is TIMEOUT, and nothing was begun), and what is put on the stream once the
 * transfer is done sees its bytes. stream is a CUstream or cudaStream_t of the GPU that the sources are on; NULL: the
 * default stream of each of these GPUs, or, where all sources are in host memory, of the GPU that this thread uses.
 */
int64_t mooncake_mesh_engine_transfer_on_stream(void *engine, struct transfer_request *requests, size_t count,
                                                void *stream, int milliseconds, int *status, uint64_t *batch);

/* 0: every task of the batch is done; the worst STATUS_ of them. bytes may be NULL. */
int64_t mooncake_mesh_engine_wait(void *engine, uint64_t batch, int milliseconds, int *status, uint64_t *bytes);

/* Whether this copy of the library is in use: how two copies in one process find each other. */
int mooncake_mesh_library_in_use(void);

#ifdef __cplusplus
}
#endif

#endif
