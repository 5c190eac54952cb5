/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes as a prefill and a decode worker are: each makes an engine by P2PHANDSHAKE, hands its address to the
 * other, and both move bytes at the same time; then one is killed in the midst of it, and started again.
 * Arguments: LARGEST, in bytes of one transfer.
 */
#include "check.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <transfer_engine_c.h>
#include <unistd.h>

struct side {
  char name[64];
  uint64_t memory;
};

static size_t area; /* what one side lets the other write and read, at both ends of its memory */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *mapped(size_t length) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

static transfer_engine_t started(char *memory, struct side *side) {
  transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "127.0.0.1", 0, 1);
  CHECK(engine != NULL);
  EXPECT(registerLocalMemory(engine, memory, 3 * area, "*", 1), 0);
  EXPECT(getLocalIpAndPort(engine, side->name, sizeof side->name), 0);
  side->memory = (uint64_t)(uintptr_t)memory;
  return engine;
}

/* Polls until every task is final; the worst state. */
static int settled(transfer_engine_t engine, batch_id_t batch, size_t count) {
  int worst = STATUS_COMPLETED;
  struct timespec pause = {0, 20000};
  double end = now() + 60;
  for (size_t task = 0; task < count; task++) {
    struct transfer_status status = {STATUS_WAITING, 0};
    while (1) {
      EXPECT(getTransferStatus(engine, batch, task, &status), 0);
      if (status.status > STATUS_PENDING || now() > end) break;
      nanosleep(&pause, NULL);
    }
    if (status.status != STATUS_COMPLETED) worst = status.status;
  }
  return worst;
}

static int moved(transfer_engine_t engine, segment_id_t peer, int opcode, char *from, uint64_t to, size_t size,
                 size_t count, const char *word) {
  struct transfer_request *requests = calloc(count, sizeof *requests);
  for (size_t i = 0; i < count; i++) {
    requests[i] = (struct transfer_request){opcode, from + i * size, peer, to + i * size, size};
  }
  batch_id_t batch = allocateBatchID(engine, count);
  notify_msg_t notify = {(char *)"mover", (char *)word};
  int code = word ? submitTransferWithNotify(engine, batch, requests, count, notify)
                  : submitTransfer(engine, batch, requests, count);
  int state = code == 0 ? settled(engine, batch, count) : STATUS_FAILED;
  EXPECT(freeBatchID(engine, batch), 0);
  free(requests);
  return state;
}

static void fill(char *memory, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++) memory[i] = (char)((seed = seed * 1664525u + 1013904223u) >> 24);
}

/* Writes a pattern into a part of the peer's memory, reads it back into another part of ours, and compares. */
static void round_trips(transfer_engine_t engine, segment_id_t peer, char *memory, uint64_t there) {
  size_t sizes[] = {1, 4096, 65536, 16u << 20, area};
  size_t counts[] = {1, 16, 1024};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
      size_t total = sizes[s] * counts[c];
      if (total > area) continue;
      fill(memory, total, (unsigned)total);
      memset(memory + area, 0, total);
      EXPECT(moved(engine, peer, OPCODE_WRITE, memory, there, sizes[s], counts[c], "written"), STATUS_COMPLETED);
      EXPECT(moved(engine, peer, OPCODE_READ, memory + area, there, sizes[s], counts[c], NULL), STATUS_COMPLETED);
      CHECK(memcmp(memory, memory + area, total) == 0);
    }
  }
}

static void tell(int pipe, const struct side *side) { CHECK(write(pipe, side, sizeof *side) == sizeof *side); }

static void hear(int pipe, struct side *side) { CHECK(read(pipe, side, sizeof *side) == sizeof *side); }

/* The other side: moves bytes of its own while its memory is written and read, until it is told to end. */
static int other_side(int in, int out) {
  char *memory = mapped(3 * area);
  struct side mine, theirs;
  transfer_engine_t engine = started(memory, &mine);
  tell(out, &mine);
  hear(in, &theirs);
  segment_id_t peer = openSegment(engine, theirs.name);
  CHECK(peer > 0);
  for (int bye = 0; !bye;) {
    /* What they write lies in the last part; what we use is the first two. */
    fill(memory, 65536, 99);
    EXPECT(moved(engine, peer, OPCODE_WRITE, memory, theirs.memory + 2 * area, 4096, 16, NULL), STATUS_COMPLETED);
    EXPECT(moved(engine, peer, OPCODE_READ, memory + area, theirs.memory + 2 * area, 65536, 1, NULL), STATUS_COMPLETED);
    CHECK(memcmp(memory, memory + area, 65536) == 0);
    int count = 0;
    notify_msg_t *messages = getNotifsFromEngine(engine, &count);
    for (int i = 0; i < count; i++) bye |= strcmp(messages[i].msg, "bye") == 0;
    EXPECT(freeNotifsMsgBuf(messages, count), 0);
    if (failures) break;
  }
  struct side done = {"done", (uint64_t)failures};
  tell(out, &done);
  destroyTransferEngine(engine);
  return failures ? 1 : 0;
}

/* A process that has never used the library, so that its children may. */
static void starter(int orders, int in, int out) {
  char order;
  pid_t child = 0;
  while (read(orders, &order, 1) == 1) {
    if (order == 'k') {
      kill(child, SIGKILL);
      waitpid(child, NULL, 0);
    } else if (order == 'w') {
      int status = 1;
      waitpid(child, &status, 0);
      struct side ended_with = {"", (uint64_t)status};
      tell(out, &ended_with);
    } else if ((child = fork()) == 0) {
      exit(other_side(in, out));
    }
  }
  exit(0);
}

int main(int argc, char **argv) {
  area = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : (size_t)64 << 20;
  int orders[2], to[2], from[2];
  CHECK(pipe(orders) == 0 && pipe(to) == 0 && pipe(from) == 0);
  pid_t helper = fork();
  if (helper == 0) {
    close(orders[1]);
    starter(orders[0], to[0], from[1]);
  }
  char *memory = mapped(3 * area);
  struct side mine, theirs, end;
  transfer_engine_t engine = started(memory, &mine);
  for (int life = 0; life < 3; life++) {
    CHECK(write(orders[1], "s", 1) == 1);
    hear(from[0], &theirs);
    segment_id_t peer = openSegment(engine, theirs.name);
    CHECK(peer > 0);
    tell(to[1], &mine);
    round_trips(engine, peer, memory, theirs.memory + 2 * area);
    if (life == 1) {
      /* Killed in the midst of what is on its way: all of it ends, and none of it is said to be done that is not. */
      double start = now();
      CHECK(write(orders[1], "k", 1) == 1);
      int state = STATUS_COMPLETED;
      while (state == STATUS_COMPLETED && now() < start + 20)
        state = moved(engine, peer, OPCODE_WRITE, memory, theirs.memory + 2 * area, 65536, 16, NULL);
      CHECK(state > STATUS_COMPLETED || state == STATUS_CANCELED);
      CHECK(now() - start < 45);
    } else {
      notify_msg_t bye = {(char *)"mover", (char *)"bye"};
      EXPECT(genNotifyInEngine(engine, (uint64_t)peer, bye), 0);
      hear(from[0], &end);
      EXPECT(end.memory, 0);
      CHECK(write(orders[1], "w", 1) == 1);
      hear(from[0], &end);
      EXPECT(end.memory, 0);
    }
    EXPECT(closeSegment(engine, peer), 0);
  }
  destroyTransferEngine(engine);
  close(orders[1]);
  waitpid(helper, NULL, 0);
  return ended();
}
