/* SPDX-License-Identifier: Apache-2.0 */
/* Every function of transfer_engine_c.h, and what it says to what cannot be: two engines in one process. */
#include "check.h"

#include <time.h>
#include <transfer_engine_c.h>

static char here[1 << 20], there[1 << 20], elsewhere[4096];

static transfer_engine_t opened(char *address, size_t length) {
  transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
  CHECK(engine != NULL);
  EXPECT(getLocalIpAndPort(engine, address, length), 0);
  return engine;
}

static int ended_as(transfer_engine_t engine, batch_id_t batch, size_t task, uint64_t *bytes) {
  struct transfer_status status = {-1, 0};
  struct timespec pause = {0, 100000};
  for (int tries = 0; tries < 300000; tries++) {
    EXPECT(getTransferStatus(engine, batch, task, &status), 0);
    if (status.status > STATUS_PENDING) break;
    nanosleep(&pause, NULL);
  }
  if (bytes) *bytes = status.transferred_bytes;
  return status.status;
}

static void creation(void) {
  char name[64];
  CHECK(createTransferEngine(NULL, "a", "", 0, 1) == NULL);
  CHECK(createTransferEngine("P2PHANDSHAKE", NULL, "", 0, 1) == NULL);
  SAYS("local_server_name");
  CHECK(createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 70000, 1) == NULL);
  SAYS("rpc_port");
  CHECK(createTransferEngine("redis://127.0.0.1", "127.0.0.1", "", 0, 1) == NULL);
  CHECK(createTransferEngine("http://127.0.0.1", "127.0.0.1", "", 0, 1) == NULL);
  CHECK(createTransferEngine("127.0.0.1:1", "name", "127.0.0.1", 0, 1) == NULL);
  transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", NULL, 0, 0);
  CHECK(engine != NULL);
  EXPECT(getLocalIpAndPort(engine, name, sizeof name), 0);
  CHECK(strncmp(name, "127.0.0.1:", 10) == 0);
  EXPECT(getLocalIpAndPort(engine, name, 3), -1);
  EXPECT(getLocalIpAndPort(engine, NULL, 64), -1);
  EXPECT(discoverTopology(engine), 0);
  CHECK(installTransport(engine, "tcp", NULL) != NULL);
  CHECK(installTransport(engine, "shm", NULL) != NULL);
  CHECK(installTransport(engine, NULL, NULL) == NULL);
  CHECK(installTransport(engine, "nvlink_intra", NULL) == NULL);
  CHECK(installTransport(NULL, "tcp", NULL) == NULL);
  EXPECT(uninstallTransport(engine, "shm"), 0);
  EXPECT(uninstallTransport(engine, "shm"), -1);
  EXPECT(uninstallTransport(engine, NULL), -1);
  enableGracefulShutdown(engine);
  enableGracefulShutdown(NULL);
  EXPECT(warmupEfaSegment(engine, "x"), -303);
  EXPECT(syncSegmentCache(engine), 0);
  EXPECT(removeLocalSegment(engine, NULL), -1);
  EXPECT(removeLocalSegment(engine, "nobody"), -1);
  char *json;
  size_t size;
  CHECK(mooncake_mesh_engine_topology(engine, NULL, &json, &size) > 1);
  CHECK(json[0] == '{');
  mooncake_mesh_free(json);
  EXPECT(mooncake_mesh_engine_topology(engine, "nothing0", &json, &size), -6);
  destroyTransferEngine(engine);
  destroyTransferEngine(engine);
  destroyTransferEngine(NULL);
  destroyTransferEngine((void *)here);
  EXPECT(getLocalIpAndPort(engine, name, sizeof name), -1);
  EXPECT(discoverTopology(engine), -1);
  EXPECT(openSegment(engine, "127.0.0.1:1"), -1);
  EXPECT(registerLocalMemory(engine, here, 1, "*", 1), -1);
  CHECK(allocateBatchID(engine, 1) == INVALID_BATCH);
  CHECK(getNotifsFromEngine(engine, &failures) == NULL);
}

static void memory(transfer_engine_t engine) {
  buffer_entry_t entries[] = {{elsewhere, 100}, {elsewhere + 100, 100}};
  void *addresses[] = {elsewhere, elsewhere + 100};
  EXPECT(registerLocalMemory(engine, here, sizeof here, "*", 1), 0);
  EXPECT(registerLocalMemory(engine, here + 10, 10, "cpu:0", 1), -7);
  EXPECT(registerLocalMemory(engine, NULL, 10, "*", 1), -1);
  EXPECT(registerLocalMemory(engine, elsewhere, 0, "*", 1), -1);
  EXPECT(registerLocalMemory(engine, NEAR_END, WRAPPING, "*", 1), -1);
  EXPECT(registerLocalMemory(engine, elsewhere, SIZE_MAX, "*", 1), -1);
  EXPECT(registerLocalMemory(engine, elsewhere, 1, NULL, 1), -1);
  EXPECT(registerLocalMemory(engine, elsewhere, 1, "moon:0", 1), -1);
  EXPECT(registerLocalMemoryBatch(engine, entries, 2, "*"), 0);
  EXPECT(registerLocalMemoryBatch(engine, entries, 2, "*"), -7);
  EXPECT(registerLocalMemoryBatch(engine, NULL, 2, "*"), -1);
  EXPECT(registerLocalMemoryBatch(engine, entries, SIZE_MAX, "*"), -1);
  EXPECT(registerLocalMemoryBatch(engine, NULL, 0, "*"), 0);
  EXPECT(unregisterLocalMemoryBatch(engine, addresses, 2), 0);
  EXPECT(unregisterLocalMemoryBatch(engine, addresses, 2), -3);
  EXPECT(unregisterLocalMemoryBatch(engine, NULL, 1), -1);
  EXPECT(unregisterLocalMemoryBatch(engine, addresses, SIZE_MAX / 4), -1);
  EXPECT(unregisterLocalMemory(engine, elsewhere), -3);
  EXPECT(unregisterLocalMemory(engine, NULL), -3);
  void *managed = NULL;
  EXPECT(mooncake_mesh_engine_allocate(engine, 10000, &managed), 0);
  CHECK(managed != NULL && *(char *)managed == 0);
  EXPECT(mooncake_mesh_engine_allocate(engine, 0, &managed), -1);
  CHECK(managed == NULL);
  EXPECT(mooncake_mesh_engine_allocate(engine, 10000, NULL), -1);
  EXPECT(mooncake_mesh_engine_free(engine, here, 10), -3);
}

static void segments(transfer_engine_t engine, const char *peer, const char *own) {
  segment_id_t id = openSegment(engine, peer);
  CHECK(id >= 1);
  EXPECT(openSegmentNoCache(engine, peer), id);
  EXPECT(openSegment(engine, own), LOCAL_SEGMENT);
  EXPECT(openSegment(engine, NULL), -1);
  CHECK(openSegment(engine, "") < 0);
  CHECK(openSegment(engine, "127.0.0.1:1") < 0);
  EXPECT(mooncake_mesh_engine_probe(engine, peer), 0);
  CHECK(mooncake_mesh_engine_probe(engine, "127.0.0.1:1") < 0);
  uint64_t address = 0;
  EXPECT(mooncake_mesh_engine_first_buffer(engine, id, &address), 0);
  CHECK(address != 0);
  EXPECT(mooncake_mesh_engine_first_buffer(engine, id, NULL), -1);
  EXPECT(mooncake_mesh_engine_first_buffer(engine, 99, &address), -1);
  EXPECT(syncSegmentCache(engine), 0);
  EXPECT(closeSegment(engine, id), 0);
  EXPECT(closeSegment(engine, id), 0);
  EXPECT(closeSegment(engine, id), -1);
  EXPECT(closeSegment(engine, 99), -1);
}

static void transfers(transfer_engine_t engine, transfer_engine_t other, const char *peer) {
  segment_id_t id = openSegment(engine, peer);
  struct transfer_request requests[64];
  for (int i = 0; i < 64; i++) {
    requests[i] = (struct transfer_request){OPCODE_WRITE, here + 16384 * i, id, (uint64_t)(uintptr_t)(there + 16384 * i),
                                            (uint64_t)(i == 0 ? 1 : 16384)};
  }
  for (size_t i = 0; i < sizeof here; i++) here[i] = (char)(i * 7 + i / 256);
  CHECK(allocateBatchID(engine, 0) == INVALID_BATCH);
  CHECK(allocateBatchID(engine, SIZE_MAX) == INVALID_BATCH);
  CHECK(allocateBatchID(NULL, 1) == INVALID_BATCH);
  batch_id_t batch = allocateBatchID(engine, 64);
  CHECK(batch != INVALID_BATCH);
  struct transfer_status status;
  EXPECT(getTransferStatus(engine, batch, 0, &status), -1);
  EXPECT(submitTransfer(engine, batch, NULL, 1), -1);
  EXPECT(submitTransfer(engine, batch, requests, SIZE_MAX), -1);
  EXPECT(submitTransfer(engine, 12345, requests, 1), -1);
  EXPECT(submitTransfer(engine, batch, requests, 64), 0);
  EXPECT(submitTransfer(engine, batch, requests, 1), -2);
  for (size_t i = 0; i < 64; i++) {
    uint64_t bytes;
    EXPECT(ended_as(engine, batch, i, &bytes), STATUS_COMPLETED);
    EXPECT(bytes, requests[i].length);
  }
  CHECK(there[0] == here[0] && there[1] == 0 && memcmp(here + 16384, there + 16384, sizeof here - 16384) == 0);
  EXPECT(getTransferStatus(engine, batch, 64, &status), -1);
  EXPECT(getTransferStatus(engine, batch, SIZE_MAX, &status), -1);
  EXPECT(getTransferStatus(engine, batch, 0, NULL), -1);
  EXPECT(freeBatchID(engine, batch), 0);
  EXPECT(freeBatchID(engine, batch), -1);
  EXPECT(freeBatchID(engine, INVALID_BATCH), -1);
  /* Back, with a message at the end. */
  memset(here, 0, sizeof here);
  for (int i = 0; i < 64; i++) requests[i].opcode = OPCODE_READ;
  notify_msg_t notify = {(char *)"done", (char *)"all of it"}, broken = {NULL, NULL};
  batch = allocateBatchID(engine, 64);
  EXPECT(submitTransferWithNotify(engine, batch, requests, 64, broken), -1);
  EXPECT(submitTransferWithNotify(engine, batch, requests, 64, notify), 0);
  for (size_t i = 0; i < 64; i++) EXPECT(ended_as(engine, batch, i, NULL), STATUS_COMPLETED);
  CHECK(memcmp(here + 16384, there + 16384, sizeof here - 16384) == 0);
  EXPECT(freeBatchID(engine, batch), 0);
  int count = -1;
  notify_msg_t *messages = getNotifsFromEngine(other, &count);
  EXPECT(count, 1);
  CHECK(messages != NULL && strcmp(messages[0].name, "done") == 0 && strcmp(messages[0].msg, "all of it") == 0);
  EXPECT(freeNotifsMsgBuf(messages, count), 0);
  EXPECT(genNotifyInEngine(engine, (uint64_t)id, notify), 0);
  EXPECT(genNotifyInEngine(engine, (uint64_t)id, notify), 0);
  EXPECT(genNotifyInEngine(engine, UINT64_MAX, notify), -1);
  EXPECT(genNotifyInEngine(engine, (uint64_t)id, broken), -1);
  messages = getNotifsFromEngine(other, &count);
  EXPECT(count, 2);
  EXPECT(freeNotifsMsgBuf(messages, count), 0);
  messages = getNotifsFromEngine(other, &count);
  EXPECT(count, 0);
  EXPECT(freeNotifsMsgBuf(messages, count), 0);
  CHECK(getNotifsFromEngine(other, NULL) == NULL);
  /* What cannot be. */
  struct transfer_request bad[] = {
      {OPCODE_WRITE, elsewhere, id, (uint64_t)(uintptr_t)there, 16},
      {OPCODE_WRITE, here + sizeof here - 8, id, (uint64_t)(uintptr_t)there, 16},
      {OPCODE_WRITE, NEAR_END, id, (uint64_t)(uintptr_t)there, WRAPPING},
      {OPCODE_WRITE, here, 99, (uint64_t)(uintptr_t)there, 16},
      {7, here, id, (uint64_t)(uintptr_t)there, 16},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    batch = allocateBatchID(engine, 1);
    CHECK(submitTransfer(engine, batch, &bad[i], 1) < 0);
    EXPECT(freeBatchID(engine, batch), 0);
  }
  struct transfer_request nowhere = {OPCODE_WRITE, here, id, (uint64_t)(uintptr_t)elsewhere, 16};
  batch = allocateBatchID(engine, 1);
  int refused = submitTransfer(engine, batch, &nowhere, 1);
  if (refused == 0) CHECK(ended_as(engine, batch, 0, NULL) > STATUS_COMPLETED || ended_as(engine, batch, 0, NULL) == 2);
  EXPECT(freeBatchID(engine, batch), 0);
  CHECK(elsewhere[0] == 0);
  /* In one call. */
  int state = -1;
  uint64_t open_batch = 1, bytes = 0;
  int64_t code = mooncake_mesh_engine_transfer(engine, requests, 64, 20000, &state, &open_batch);
  EXPECT(code, 0);
  EXPECT(state, STATUS_COMPLETED);
  EXPECT(open_batch, 0);
  code = mooncake_mesh_engine_transfer(engine, requests, 64, 0, &state, &open_batch);
  if (code == MOONCAKE_MESH_PENDING) {
    while ((code = mooncake_mesh_engine_wait(engine, open_batch, 10, &state, &bytes)) == MOONCAKE_MESH_PENDING) continue;
    EXPECT(freeBatchID(engine, open_batch), 0);
  }
  EXPECT(code, 0);
  EXPECT(state, STATUS_COMPLETED);
  EXPECT(mooncake_mesh_engine_transfer(engine, requests, 0, 0, &state, &open_batch), -1);
  EXPECT(mooncake_mesh_engine_transfer(engine, bad, 1, 10, &state, &open_batch), -3);
  EXPECT(mooncake_mesh_engine_transfer(engine, requests, 1, -1, &state, &open_batch), -1);
  EXPECT(mooncake_mesh_engine_wait(engine, 12345, 1, &state, NULL), -1);
  nic_load_stat_t stats[16];
  size_t room = 16;
  EXPECT(getNicLoadStats(engine, stats, &room), 0);
  CHECK(room >= 1 && stats[0].device_name[0] != 0);
  EXPECT(getNicLoadStats(engine, NULL, &room), 0);
  EXPECT(getNicLoadStats(engine, stats, NULL), -1);
  room = 0;
  EXPECT(getNicLoadStats(engine, stats, &room), -1);
  char links[4096];
  EXPECT(showLinks(engine, links, sizeof links, 0), 0);
  CHECK(strstr(links, peer) != NULL);
  EXPECT(showLinks(engine, links, sizeof links, 1), 0);
  CHECK(links[0] == '{' || links[0] == '[');
  EXPECT(showLinks(engine, links, 4, 1), -1);
  EXPECT(showLinks(engine, NULL, 0, 0), -1);
  EXPECT(closeSegment(engine, id), 0);
}

int main(void) {
  char own[64], peer[64];
  creation();
  transfer_engine_t engine = opened(own, sizeof own), other = opened(peer, sizeof peer);
  memory(engine);
  EXPECT(registerLocalMemory(other, there, sizeof there, "*", 1), 0);
  segments(engine, peer, own);
  transfers(engine, other, peer);
  EXPECT(unregisterLocalMemory(engine, here), 0);
  destroyTransferEngine(other);
  destroyTransferEngine(engine);
  return ended();
}
