/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOONCAKE_MESH_TRANSFER_ENGINE_C_H
#define MOONCAKE_MESH_TRANSFER_ENGINE_C_H

/*
 * The transfer engine as Mooncake's C users call it. Link with -ltransfer_engine. Functions that return int return 0,
 * or one of the negative numbers below; mooncake_mesh_last_error() of mooncake_mesh.h says why.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void *transfer_engine_t;
typedef void *transport_t;
typedef int32_t segment_id_t;
typedef int32_t segment_handle_t;
typedef uint64_t batch_id_t;

#define LOCAL_SEGMENT (0)
#define INVALID_BATCH UINT64_MAX

#define OPCODE_READ (0)
#define OPCODE_WRITE (1)

#define STATUS_WAITING (0)
#define STATUS_PENDING (1)
#define STATUS_INVALID (2)
#define STATUS_CANCELED (3)
#define STATUS_COMPLETED (4)
#define STATUS_TIMEOUT (5)
#define STATUS_FAILED (6)

/*
 * -1 an argument, -2 a limit, -3 memory not registered, -4 batch or memory in use, -6 no such device, -7 memory
 * registered already, -101 name, -102 socket, -103 record, -104 refused by the peer, -200 metadata, -201 peer,
 * -202 engine closed or forked, -300 NUMA, -301 clock, -302 memory, -303 not offered.
 */

struct transfer_request {
  int opcode;
  void *source; /* registered here */
  segment_id_t target_id;
  uint64_t target_offset; /* an address in the peer's process, registered there */
  uint64_t length;
};
typedef struct transfer_request transfer_request_t;

struct transfer_status {
  int status;
  uint64_t transferred_bytes;
};
typedef struct transfer_status transfer_status_t;

struct notify_msg {
  char *name;
  char *msg;
};
typedef struct notify_msg notify_msg_t;

struct buffer_entry {
  void *addr;
  size_t length;
};
typedef struct buffer_entry buffer_entry_t;

struct nic_load_stat {
  char device_name[64];
  uint64_t inflight_bytes;
  double ewma_bandwidth_bps;
};
typedef struct nic_load_stat nic_load_stat_t;

/*
 * metadata_conn_string  P2PHANDSHAKE: peers open "ip:port"; etcd://HOST:PORT,... or HOST:PORT: peers open names
 * local_server_name     with P2PHANDSHAKE host[:port] or a mere name, with etcd the name
 * ip_or_host_name       where the engine is reached when that is a mere name
 * rpc_port              where the name has none; 0: one from 15000 to 17000
 * auto_discover         0: no transport before installTransport
 * NULL on a failure.
 */
transfer_engine_t createTransferEngine(const char *metadata_conn_string, const char *local_server_name,
                                       const char *ip_or_host_name, uint64_t rpc_port, int auto_discover);
void destroyTransferEngine(transfer_engine_t engine);

int discoverTopology(transfer_engine_t engine);

/* "ip:port", to be handed to peers. */
int getLocalIpAndPort(transfer_engine_t engine, char *buf_out, size_t buf_len);

/* tcp, shm, cma or rdma. NULL where it is not offered; else not NULL, and nothing to call or to free. */
transport_t installTransport(transfer_engine_t engine, const char *proto, void **args);
int uninstallTransport(transfer_engine_t engine, const char *proto);

/* The segment's id, or a negative number. */
segment_id_t openSegment(transfer_engine_t engine, const char *segment_name);
segment_id_t openSegmentNoCache(transfer_engine_t engine, const char *segment_name);
int closeSegment(transfer_engine_t engine, segment_id_t segment_id);
int removeLocalSegment(transfer_engine_t engine, const char *segment_name);
int warmupEfaSegment(transfer_engine_t engine, const char *segment_name);
int syncSegmentCache(transfer_engine_t engine);

/* location: "cpu:N", "cuda:N" or "*". */
int registerLocalMemory(transfer_engine_t engine, void *addr, size_t length, const char *location,
                        int remote_accessible);
int unregisterLocalMemory(transfer_engine_t engine, void *addr);
int registerLocalMemoryBatch(transfer_engine_t engine, buffer_entry_t *buffer_list, size_t buffer_len,
                             const char *location);
int unregisterLocalMemoryBatch(transfer_engine_t engine, void **addr_list, size_t addr_len);

/* INVALID_BATCH on a failure. */
batch_id_t allocateBatchID(transfer_engine_t engine, size_t batch_size);

/* -4 while a task of it is not done. */
int freeBatchID(transfer_engine_t engine, batch_id_t batch_id);

/* All of the requests, or none on a failure; they are numbered from 0 on as the batch's tasks. */
int submitTransfer(transfer_engine_t engine, batch_id_t batch_id, struct transfer_request *entries, size_t count);

/* The same; the target is told once all of them are done. */
int submitTransferWithNotify(transfer_engine_t engine, batch_id_t batch_id, struct transfer_request *entries,
                             size_t count, notify_msg_t notify_msg);
int getTransferStatus(transfer_engine_t engine, batch_id_t batch_id, size_t task_id, struct transfer_status *status);

/* What has come since the last call; NULL when nothing has. */
notify_msg_t *getNotifsFromEngine(transfer_engine_t engine, int *size);
int freeNotifsMsgBuf(notify_msg_t *msg, int size);
int genNotifyInEngine(transfer_engine_t engine, uint64_t target_id, notify_msg_t notify_msg);

/* *count: room for so many, then how many there are; -1 where the room was too small. */
int getNicLoadStats(transfer_engine_t engine, nic_load_stat_t *stats, size_t *count);

/* Nothing: a library takes no signals of its host. Call destroyTransferEngine from a handler of your own. */
void enableGracefulShutdown(transfer_engine_t engine);

/* The open segments, for people or as JSON, with a NUL; -1 where the buffer is too small. */
int showLinks(transfer_engine_t engine, char *buf_out, size_t buf_len, int json);

#ifdef __cplusplus
}
#endif

#endif
