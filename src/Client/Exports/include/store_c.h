/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOONCAKE_MESH_STORE_C_H
#define MOONCAKE_MESH_STORE_C_H

/*
 * The store as Mooncake's C users call it, on a mesh. Link with -lmooncake_store. Codes: docs/c-library.md; the text of
 * a failure: mooncake_mesh_last_error() of mooncake_mesh.h. Keys end with a NUL and have at most 65536 bytes.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void *mooncake_store_t;

/* What a put asks for; NULL: one copy, not pinned, near. */
struct mooncake_replicate_config {
  size_t replica_num;
  int with_soft_pin;
  int with_hard_pin;
  const char **preferred_segments; /* names of stores, ids or endpoints of nodes; the first that is there counts */
  size_t preferred_segments_count;
};
typedef struct mooncake_replicate_config mooncake_replicate_config;
typedef struct mooncake_replicate_config mooncake_replicate_config_t;

/* NULL: in a forked child, or beside another copy of the library. */
mooncake_store_t mooncake_store_create(void);

/* Calls under way are given up and waited for. A store destroyed before, or NULL, is nothing. */
void mooncake_store_destroy(mooncake_store_t store);

/*
 * local_hostname      HOST[:PORT], the store's name; without a port one from 12300 to 14300 is picked
 * metadata_server     etcd://HOST:PORT,... or HOST:PORT of an etcd; P2PHANDSHAKE and other URLs have no meaning here
 * global_segment_size memory that this process contributes; more than 0 makes it a node of the mesh
 * local_buffer_size   0: values come from registered memory alone (no mooncake_store_put)
 * protocol            tcp, rdma, shm or auto
 * device_name         RDMA devices, NAME,...; NULL or "": all
 * master_server_addr  HOST:PORT of any node, several of them, or etcd://...
 */
int mooncake_store_setup(mooncake_store_t store, const char *local_hostname, const char *metadata_server,
                         uint64_t global_segment_size, uint64_t local_buffer_size, const char *protocol,
                         const char *device_name, const char *master_server_addr);

/* The same, with MOONCAKE_LOCAL_HOSTNAME, MOONCAKE_TE_META_DATA_SERVER (etcd://127.0.0.1:2379) and MOONCAKE_MASTER. */
int mooncake_store_init_all(mooncake_store_t store, const char *protocol, const char *device_name,
                            uint64_t mount_segment_size);

/* 0: a node answers; 1: not set up; 2: no node answers. */
int mooncake_store_health_check(mooncake_store_t store);

/* 0; also when the key has an object already, which stays. */
int mooncake_store_put(mooncake_store_t store, const char *key, const void *value, size_t size,
                       const mooncake_replicate_config_t *config);
int mooncake_store_put_from(mooncake_store_t store, const char *key, void *buffer, size_t size,
                            const mooncake_replicate_config_t *config);
int mooncake_store_batch_put_from(mooncake_store_t store, const char **keys, void **buffers, const size_t *sizes,
                                  size_t count, const mooncake_replicate_config_t *config, int *results);

/* The object's size; a buffer that is too small is not touched. */
int64_t mooncake_store_get_into(mooncake_store_t store, const char *key, void *buffer, size_t size);
int mooncake_store_batch_get_into(mooncake_store_t store, const char **keys, void **buffers, const size_t *sizes,
                                  size_t count, int64_t *results);

/* 1 or 0. */
int mooncake_store_is_exist(mooncake_store_t store, const char *key);
int mooncake_store_batch_is_exist(mooncake_store_t store, const char **keys, size_t count, int *results);

int64_t mooncake_store_get_size(mooncake_store_t store, const char *key);

/* The store's name, host:port. */
int mooncake_store_get_hostname(mooncake_store_t store, char *buffer, size_t length);

/* There are no read leases: force changes nothing. */
int mooncake_store_remove(mooncake_store_t store, const char *key, int force);
int64_t mooncake_store_remove_by_regex(mooncake_store_t store, const char *pattern, int force);
int64_t mooncake_store_remove_all(mooncake_store_t store, int force);

/* Memory that objects are put from and got into. It is the caller's, and stays so. */
int mooncake_store_register_buffer(mooncake_store_t store, void *buffer, size_t size);
int mooncake_store_unregister_buffer(mooncake_store_t store, void *buffer);

#ifdef __cplusplus
}
#endif

#endif
