/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes with an engine each, and memory of a GPU at either end or at both: device_engine.c LIBCUDA. Whoever
 * followed an address of the double would end here with a signal.
 */
#include "device.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <transfer_engine_c.h>
#include <unistd.h>

enum { LARGEST = (64 << 20) + 1, MANY = 300, EACH = 3001 };

/* One side's memory: on the GPU and on the host, each of LARGEST bytes, registered; and one that is not. */
struct side {
  char name[64];
  uint64_t device, host, foreign;
};

struct order {
  char what; /* 'f': fill both with a seed; 'c': compare both with it; 's': stall; 'g': go on; 'e': end */
  unsigned seed;
  size_t size;
};

static unsigned char *host, *expected;

static void *mapped(void) {
  void *memory = mmap(NULL, LARGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

static transfer_engine_t started(const char *library, struct side *side) {
  host = mapped();
  expected = mapped();
  transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "127.0.0.1", 0, 1);
  CHECK(engine != NULL);
  /* Before CUDA is begun there is no such place, and nothing of it is begun by the engine. */
  EXPECT(registerLocalMemory(engine, host, LARGEST, "cuda:0", 1), -6);
  EXPECT(registerLocalMemory(engine, host, LARGEST, "cpu:0", 1), 0);
  begin_cuda(library, LARGEST);
  side->device = allocate(LARGEST);
  side->foreign = allocate(4096);
  side->host = (uint64_t)(uintptr_t)host;
  void *device = (void *)(uintptr_t)side->device;
  EXPECT(registerLocalMemory(engine, device, LARGEST, "cuda:3", 1), -6);
  EXPECT(registerLocalMemory(engine, device, LARGEST, "cpu:0", 1), -1);
  SAYS("cuda:0");
  EXPECT(registerLocalMemory(engine, pinned, 4096, "cuda:0", 1), -1);
  SAYS("host memory");
  EXPECT(registerLocalMemory(engine, device, LARGEST, "cuda:0", 1), 0);
  EXPECT(getLocalIpAndPort(engine, side->name, sizeof side->name), 0);
  return engine;
}

static int compare(const struct order *order, uint64_t device) {
  mixed(expected, order->size, order->seed);
  int wrong = memcmp(host, expected, order->size) != 0 ? 1 : 0;
  from_device(host, device, order->size);
  return wrong | (memcmp(host, expected, order->size) != 0 ? 2 : 0);
}

/* The other process: does what it is told until it is told to end. */
static int other_side(const char *library, int in, int out) {
  struct side mine;
  transfer_engine_t engine = started(library, &mine);
  CHECK(write(out, &mine, sizeof mine) == sizeof mine);
  struct order order;
  while (read(in, &order, sizeof order) == sizeof order && order.what != 'e') {
    int wrong = 0;
    if (order.what == 'f') {
      mixed(host, order.size, order.seed);
      to_device(mine.device, host, order.size);
    } else if (order.what == 'c') {
      wrong = compare(&order, mine.device);
    } else if (order.what == 's') {
      stall(0);
    } else {
      stall(-1);
    }
    CHECK(write(out, &wrong, sizeof wrong) == sizeof wrong);
  }
  destroyTransferEngine(engine);
  return failures ? 1 : 0;
}

static int to_child, from_child;

static int tell(char what, unsigned seed, size_t size) {
  struct order order = {what, seed, size};
  int wrong = -1;
  CHECK(write(to_child, &order, sizeof order) == sizeof order);
  CHECK(read(from_child, &wrong, sizeof wrong) == sizeof wrong);
  return wrong;
}

/* Polls until every task is final; the worst state. */
static int settled(transfer_engine_t engine, batch_id_t batch, size_t count) {
  int worst = STATUS_COMPLETED;
  struct timespec pause = {0, 20000};
  for (size_t task = 0; task < count; task++) {
    struct transfer_status status = {STATUS_WAITING, 0};
    while (status.status <= STATUS_PENDING) {
      EXPECT(getTransferStatus(engine, batch, task, &status), 0);
      nanosleep(&pause, NULL);
    }
    if (status.status != STATUS_COMPLETED) worst = status.status;
  }
  return worst;
}

static int moved(transfer_engine_t engine, struct transfer_request *requests, size_t count) {
  batch_id_t batch = allocateBatchID(engine, count);
  EXPECT(submitTransfer(engine, batch, requests, count), 0);
  int state = settled(engine, batch, count);
  EXPECT(freeBatchID(engine, batch), 0);
  return state;
}

static struct transfer_request request(int opcode, uint64_t here, segment_id_t peer, uint64_t there, size_t size) {
  return (struct transfer_request){opcode, (void *)(uintptr_t)here, peer, there, size};
}

/* Device to device, device to host, host to device and host to host, there and back. */
static void every_end(transfer_engine_t engine, segment_id_t peer, const struct side *mine, const struct side *theirs,
                      size_t size) {
  uint64_t here[] = {mine->device, mine->host}, there[] = {theirs->device, theirs->host};
  for (unsigned way = 0; way < 2; way++) {
    unsigned seed = (unsigned)size + way;
    mixed(host, size, seed);
    to_device(mine->device, host, size);
    /* Across at first, so that the other end's two get what lies in ours; then each to its like. */
    struct transfer_request writes[] = {request(OPCODE_WRITE, here[way], peer, there[0], size),
                                        request(OPCODE_WRITE, here[!way], peer, there[1], size)};
    EXPECT(moved(engine, writes, 2), STATUS_COMPLETED);
    EXPECT(tell('c', seed, size), 0);

    EXPECT(tell('f', seed + 7, size), 0);
    struct transfer_request reads[] = {request(OPCODE_READ, here[way], peer, there[0], size),
                                       request(OPCODE_READ, here[!way], peer, there[1], size)};
    EXPECT(moved(engine, reads, 2), STATUS_COMPLETED);
    EXPECT(compare(&(struct order){'c', seed + 7, size}, mine->device), 0);
  }
}

/* Many small ones in a batch, from and to both kinds of memory in turn. */
static void many(transfer_engine_t engine, segment_id_t peer, const struct side *mine, const struct side *theirs) {
  struct transfer_request requests[MANY];
  mixed(host, MANY * EACH, 5);
  to_device(mine->device, host, MANY * EACH);
  for (int kind = 0; kind < 2; kind++) {
    for (size_t i = 0; i < MANY; i++)
      requests[i] = request(OPCODE_WRITE, (i % 2 ? mine->host : mine->device) + i * EACH, peer,
                            ((i / 2 + (size_t)kind) % 2 ? theirs->host : theirs->device) + i * EACH, EACH);
    EXPECT(moved(engine, requests, MANY), STATUS_COMPLETED);
  }
  EXPECT(tell('c', 5, MANY * EACH), 0);
}

static void refusals(transfer_engine_t engine, segment_id_t peer, const struct side *mine, const struct side *theirs) {
  struct transfer_request beyond = request(OPCODE_READ, mine->host, peer, theirs->foreign, 100);
  EXPECT(moved(engine, &beyond, 1), STATUS_FAILED);
  struct transfer_request source = request(OPCODE_WRITE, mine->foreign, peer, theirs->host, 100);
  batch_id_t batch = allocateBatchID(engine, 1);
  EXPECT(submitTransfer(engine, batch, &source, 1), -3);
  EXPECT(freeBatchID(engine, batch), 0);
  /* To oneself, from device to host. */
  struct transfer_request own = request(OPCODE_READ, mine->host, LOCAL_SEGMENT, mine->device, 5001);
  mixed(host, 5001, 8);
  to_device(mine->device, host, 5001);
  memset(host, 0, 5001);
  EXPECT(moved(engine, &own, 1), STATUS_COMPLETED);
  EXPECT(compare(&(struct order){'c', 8, 5001}, mine->device), 0);
}

/* A transfer on a stream comes after the kernel that is on it, and before what is put there next. */
static void ordered(transfer_engine_t engine, segment_id_t peer, const struct side *mine, const struct side *theirs,
                    void *on) {
  size_t size = (1 << 20) + 3;
  struct transfer_request writes[] = {request(OPCODE_WRITE, mine->device, peer, theirs->device, size),
                                      request(OPCODE_WRITE, mine->device, peer, theirs->host, size)};
  int status = -1;
  uint64_t batch = 0;
  slow_kernel(on, 150, mine->device, 77, size);
  int64_t code = mooncake_mesh_engine_transfer_on_stream(engine, writes, 2, on, 60000, &status, &batch);
  EXPECT(code, 0);
  EXPECT(status, STATUS_COMPLETED);
  EXPECT(batch, 0);
  struct transfer_request back = request(OPCODE_READ, mine->device, peer, theirs->host, size);
  slow_kernel(on, 150, mine->device, 78, size);
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &back, 1, on, 60000, &status, &batch), 0);
  EXPECT(status, STATUS_COMPLETED);
  slow_kernel(on, 1, mine->device, 79, 1);
  settle();
  int (*query)(void *) = symbol("cuStreamQuery");
  while (query(on) == 600) {
  }
  from_device(host, mine->device, size);
  EXPECT(host[0], 79);
  for (size_t i = 1; i < size; i++)
    if (host[i] != 77) {
      EXPECT(host[i], 77);
      break;
    }
  /* Memory of the host may be what the stream writes: that of the thread's device is meant. */
  struct transfer_request plain = request(OPCODE_WRITE, mine->host, peer, theirs->host, 100);
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &plain, 1, on, 60000, &status, &batch), 0);
  EXPECT(status, STATUS_COMPLETED);
}

static void not_ordered(transfer_engine_t engine, segment_id_t peer, const struct side *mine,
                        const struct side *theirs) {
  struct transfer_request write = request(OPCODE_WRITE, mine->device, peer, theirs->device, 100);
  int status = -1;
  uint64_t batch = 0;
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &write, 1, (void *)4096, 60000, &status, &batch), -1);
  SAYS("no stream of cuda:0");
  write.source = (void *)(uintptr_t)mine->foreign;
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &write, 1, stream, 60000, &status, &batch), -3);
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &write, 1, stream, -1, &status, &batch), -1);
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &write, 1, stream, 1, NULL, &batch), -1);
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, NULL, 1, stream, 1, &status, &batch), -1);
}

/* A device that stops in the midst of a transfer: it ends, host memory goes on, and later requests fail at once. */
static void lost(transfer_engine_t engine, segment_id_t peer, const struct side *mine, const struct side *theirs) {
  struct transfer_request to_theirs = request(OPCODE_WRITE, mine->host, peer, theirs->device, 8 << 20);
  EXPECT(tell('s', 0, 0), 0);
  CHECK(moved(engine, &to_theirs, 1) > STATUS_COMPLETED);
  struct transfer_request between = request(OPCODE_WRITE, mine->host, peer, theirs->host, 8 << 20);
  EXPECT(moved(engine, &between, 1), STATUS_COMPLETED);
  EXPECT(tell('g', 0, 0), 0);
  EXPECT(moved(engine, &to_theirs, 1), STATUS_FAILED);

  stall(2);
  struct transfer_request from_mine = request(OPCODE_WRITE, mine->device, peer, theirs->host, LARGEST);
  CHECK(moved(engine, &from_mine, 1) > STATUS_COMPLETED);
  EXPECT(moved(engine, &between, 1), STATUS_COMPLETED);
  stall(-1);
  EXPECT(moved(engine, &from_mine, 1), STATUS_FAILED);
  int status = -1;
  uint64_t batch = 0;
  EXPECT(mooncake_mesh_engine_transfer_on_stream(engine, &from_mine, 1, stream, 60000, &status, &batch), -6);
  EXPECT(unregisterLocalMemory(engine, (void *)(uintptr_t)mine->device), 0);
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  int to[2], from[2];
  CHECK(pipe(to) == 0 && pipe(from) == 0);
  /* Before either of the two uses the library. */
  pid_t child = fork();
  if (child == 0) exit(other_side(arguments[1], to[0], from[1]));
  to_child = to[1];
  from_child = from[0];
  struct side mine, theirs;
  transfer_engine_t engine = started(arguments[1], &mine);
  CHECK(read(from_child, &theirs, sizeof theirs) == sizeof theirs);
  segment_id_t peer = openSegment(engine, theirs.name);
  CHECK(peer > 0);
  size_t sizes[] = {1, 4095, 65537, (1 << 20) + 1, LARGEST};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) every_end(engine, peer, &mine, &theirs, sizes[i]);
  many(engine, peer, &mine, &theirs);
  refusals(engine, peer, &mine, &theirs);
  ordered(engine, peer, &mine, &theirs, stream);
  ordered(engine, peer, &mine, &theirs, NULL);
  not_ordered(engine, peer, &mine, &theirs);
  lost(engine, peer, &mine, &theirs);
  struct order end = {'e', 0, 0};
  int status = 1;
  CHECK(write(to_child, &end, sizeof end) == sizeof end);
  EXPECT(waitpid(child, &status, 0), child);
  EXPECT(status, 0);
  destroyTransferEngine(engine);
  return ended();
}
