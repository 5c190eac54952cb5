/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the library behaves in a process that is not its own. Arguments: MODE NODE [COUNT].
 * fork, fork-first, signals, threads, closing, killed, stopped (COUNT: the node's process), writers, stores,
 * embedded, engines, engine-threads, calls.
 */
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <store_c.h>
#include <sys/wait.h>
#include <time.h>
#include <transfer_engine_c.h>
#include <unistd.h>

static const char *node;
static char options[256];

static mooncake_mesh_t *opened(void) {
  mooncake_mesh_t *mesh = NULL;
  EXPECT(mooncake_mesh_open(options, &mesh), 0);
  return mesh;
}

static mooncake_store_t store_opened(void) {
  mooncake_store_t store = mooncake_store_create();
  EXPECT(mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 4096, "auto", "", node), 0);
  return store;
}

static int status_of(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

/* After a use the child is turned back, by everything; the parent goes on. */
static void forked(void) {
  mooncake_mesh_t *mesh = opened();
  mooncake_store_t store = store_opened();
  transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
  CHECK(engine != NULL);
  EXPECT(mooncake_mesh_put(mesh, "fork", 4, "v", 1, NULL), 0);
  for (int i = 0; i < 20; i++) {
    pid_t child = fork();
    if (child == 0) {
      failures = 0;
      char name[64];
      mooncake_mesh_t *other = NULL;
      EXPECT(mooncake_mesh_put(mesh, "fork", 4, "v", 1, NULL), MOONCAKE_MESH_FORKED);
      SAYS("forked child");
      EXPECT(mooncake_mesh_exists(mesh, "fork", 4), MOONCAKE_MESH_FORKED);
      EXPECT(mooncake_mesh_open(options, &other), MOONCAKE_MESH_FORKED);
      EXPECT(mooncake_mesh_close(mesh), MOONCAKE_MESH_FORKED);
      EXPECT(mooncake_mesh_health(mesh), MOONCAKE_MESH_FORKED);
      EXPECT(mooncake_mesh_api_version(), MOONCAKE_MESH_FORKED);
      CHECK(mooncake_store_create() == NULL);
      EXPECT(mooncake_store_health_check(store), 1);
      EXPECT(mooncake_store_is_exist(store, "fork"), MOONCAKE_MESH_FORKED);
      EXPECT(mooncake_store_get_hostname(store, name, sizeof name), MOONCAKE_MESH_FORKED);
      mooncake_store_destroy(store);
      CHECK(createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1) == NULL);
      EXPECT(getLocalIpAndPort(engine, name, sizeof name), -202);
      EXPECT(openSegment(engine, "127.0.0.1:1"), -202);
      CHECK(allocateBatchID(engine, 1) == INVALID_BATCH);
      destroyTransferEngine(engine);
      exit(failures == 0 ? 0 : 1);
    }
    EXPECT(status_of(child), 0);
    EXPECT(mooncake_mesh_exists(mesh, "fork", 4), 1);
  }
  /* A child that becomes another program is nobody's business. */
  pid_t child = fork();
  if (child == 0) execlp("true", "true", (char *)NULL);
  EXPECT(status_of(child), 0);
  EXPECT(mooncake_mesh_remove(mesh, "fork", 4), 0);
  EXPECT(discoverTopology(engine), 0);
  destroyTransferEngine(engine);
  mooncake_store_destroy(store);
  EXPECT(mooncake_mesh_close(mesh), 0);
}

/* A library that is only loaded is the child's to use. */
static void forked_first(void) {
  pid_t child = fork();
  if (child == 0) {
    mooncake_mesh_t *mesh = opened();
    EXPECT(mooncake_mesh_health(mesh), 0);
    EXPECT(mooncake_mesh_close(mesh), 0);
    exit(failures == 0 ? 0 : 1);
  }
  EXPECT(status_of(child), 0);
}

static void nothing(int signal) { (void)signal; }

/*
 * What the host has set for its signals stays, and what ends a process by default still does; but SIGPIPE is ignored
 * from the first call on, until the host sets a handler of its own.
 */
static void signals(void) {
  struct sigaction before[65], after;
  memset(before, 0, sizeof before);
  for (int s = 1; s < 65; s++) (void)sigaction(s, NULL, &before[s]);
  mooncake_mesh_t *mesh = opened();
  EXPECT(mooncake_mesh_put(mesh, "signals", 7, "v", 1, NULL), 0);
  EXPECT(mooncake_mesh_remove(mesh, "signals", 7), 0);
  for (int s = 1; s < 65; s++) {
    if (sigaction(s, NULL, &after) != 0 || after.sa_handler == before[s].sa_handler) continue;
    /* The runtime's own: faults of arithmetic and memory (passed on), and one real-time signal among its threads. */
    if (s == SIGPIPE && after.sa_handler == SIG_IGN) continue;
    if (s != SIGFPE && s != SIGSEGV && !(s >= SIGRTMIN && s <= SIGRTMIN + 1)) {
      fprintf(stderr, "signal %d has another handler\n", s);
      failures++;
    }
  }
  EXPECT(mooncake_mesh_close(mesh), 0);
  signal(SIGPIPE, nothing);
  mesh = opened();
  EXPECT(mooncake_mesh_close(mesh), 0);
  (void)sigaction(SIGPIPE, NULL, &after);
  CHECK(after.sa_handler == nothing);
}

enum { THREADS = 1000, ROUNDS = 20 };

static mooncake_mesh_t *shared;
static mooncake_store_t shared_store;

static void *thread_of_many(void *number) {
  char key[64], value[256], got[256];
  for (int i = 0; i < ROUNDS; i++) {
    int length = snprintf(key, sizeof key, "t%zu-%d", (size_t)number, i);
    memset(value, (int)((size_t)number + (size_t)i), sizeof value);
    EXPECT(mooncake_mesh_put(shared, key, (size_t)length, value, sizeof value, NULL), 0);
    EXPECT(mooncake_store_is_exist(shared_store, key), 1);
    EXPECT(mooncake_mesh_get_into(shared, key, (size_t)length, got, sizeof got), sizeof got);
    CHECK(memcmp(got, value, sizeof got) == 0);
    EXPECT(mooncake_mesh_remove(shared, key, (size_t)length), 0);
    EXPECT(mooncake_mesh_get_into(shared, key, (size_t)length, got, sizeof got), -704);
    CHECK(strstr(mooncake_mesh_last_error(), "no object has this key") != NULL);
  }
  return NULL;
}

static void run_threads(void *(*body)(void *), int count) {
  pthread_t *threads = calloc((size_t)count, sizeof *threads);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  for (int i = 0; i < count; i++) CHECK(pthread_create(&threads[i], &small, body, (void *)(size_t)i) == 0);
  for (int i = 0; i < count; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  free(threads);
}

static void many_threads(void) {
  strcat(options, ";put_timeout_ms=60000;get_timeout_ms=60000;timeout_ms=60000");
  shared = opened();
  shared_store = store_opened();
  run_threads(thread_of_many, THREADS);
  EXPECT(mooncake_mesh_close(shared), 0);
  mooncake_store_destroy(shared_store);
}

/* Closed under way: calls end, later ones are told, and nobody waits. */
static void *thread_until_closed(void *number) {
  char key[64], got[65536];
  int length = snprintf(key, sizeof key, "closing-%zu", (size_t)number % 8);
  memset(got, 'c', sizeof got);
  while (1) {
    int64_t put = mooncake_mesh_put(shared, key, (size_t)length, got, sizeof got, NULL);
    int64_t code = put < 0 ? put : mooncake_mesh_get_into(shared, key, (size_t)length, got, sizeof got);
    if (code == MOONCAKE_MESH_BAD_HANDLE || code == MOONCAKE_MESH_CANCELLED) return NULL;
    EXPECT(code, sizeof got);
  }
}

static void *closer(void *unused) {
  (void)unused;
  struct timespec pause = {0, 100000000};
  nanosleep(&pause, NULL);
  int64_t code = mooncake_mesh_close(shared);
  CHECK(code == 0 || code == MOONCAKE_MESH_BAD_HANDLE);
  return NULL;
}

static void *closer_or_user(void *number) {
  return (size_t)number % 16 == 15 ? closer(NULL) : thread_until_closed(number);
}

static void closing(void) {
  for (int i = 0; i < 5; i++) {
    shared = opened();
    run_threads(closer_or_user, 64);
    EXPECT(mooncake_mesh_health(shared), MOONCAKE_MESH_BAD_HANDLE);
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The node is killed by whoever started this, once we have said "ready". No call lasts, and the process does. */
static void killed(void) {
  size_t size = 8 << 20;
  char *value = malloc(size);
  memset(value, 'k', size);
  strcat(options, ";transport=tcp");
  mooncake_mesh_t *mesh = opened();
  mooncake_mesh_put_options there = {.struct_size = sizeof there, .placement = 2, .preferred_node = node};
  EXPECT(mooncake_mesh_put(mesh, "killed", 6, value, size, &there), 0);
  puts("ready");
  fflush(stdout);
  double end = now() + 30;
  int64_t code = (int64_t)size;
  int failed = 0;
  while (now() < end && failed < 3) {
    double start = now();
    code = mooncake_mesh_get_into(mesh, "killed", 6, value, size);
    CHECK(now() - start < 5);
    if (code == (int64_t)size) continue;
    failed++;
    CHECK(code < 0);
    memset(value, 'x', size);
    code = mooncake_mesh_put(mesh, "after", 5, value, 1000, NULL);
    CHECK(code == 0 || code < 0);
    for (size_t i = 0; i < size; i += 4096) CHECK(value[i] == 'x');
  }
  EXPECT(failed, 3);
  EXPECT(mooncake_mesh_close(mesh), 0);
  free(value);
}

static int asked;

static int on_the_fourth(void *context) { return ++*(int *)context >= 4; }

/* The node that has the object stands still: a call that waits for it comes back to the host, and ends when told to. */
static void stopped(int pid) {
  size_t size = 1 << 20;
  char *value = malloc(size);
  memset(value, 's', size);
  strcat(options, ";transport=tcp;get_timeout_ms=30000");
  mooncake_mesh_t *mesh = opened();
  strcat(options, ";slice_ms=100");
  mooncake_mesh_t *sliced = opened();
  mooncake_mesh_put_options there = {.struct_size = sizeof there, .placement = 2, .preferred_node = node};
  EXPECT(mooncake_mesh_put(mesh, "stopped", 7, value, size, &there), 0);
  CHECK(kill(pid, SIGSTOP) == 0);
  double start = now();
  EXPECT(mooncake_mesh_get_into(sliced, "stopped", 7, value, size), MOONCAKE_MESH_PENDING);
  EXPECT(mooncake_mesh_wait(200), MOONCAKE_MESH_PENDING);
  CHECK(now() - start > 0.25 && now() - start < 5);
  EXPECT(mooncake_mesh_cancel(), MOONCAKE_MESH_CANCELLED);
  CHECK(now() - start < 8);
  memset(value, 'x', size);
  EXPECT(mooncake_mesh_set_interrupt(on_the_fourth, &asked), 0);
  start = now();
  EXPECT(mooncake_mesh_get_into(mesh, "stopped", 7, value, size), MOONCAKE_MESH_CANCELLED);
  CHECK(now() - start < 8);
  EXPECT(asked, 4);
  EXPECT(mooncake_mesh_set_interrupt(NULL, NULL), 0);
  /* A pending call whose handle is closed ends, and its thread hears of it. */
  EXPECT(mooncake_mesh_get_into(sliced, "stopped", 7, value, size), MOONCAKE_MESH_PENDING);
  start = now();
  EXPECT(mooncake_mesh_close(sliced), 0);
  CHECK(now() - start < 8);
  EXPECT(mooncake_mesh_wait(1000), MOONCAKE_MESH_CANCELLED);
  CHECK(kill(pid, SIGCONT) == 0);
  for (size_t i = 0; i < size; i++) CHECK(value[i] == 'x');
  EXPECT(mooncake_mesh_close(mesh), 0);
  free(value);
}

enum { KEYS = 60, WRITTEN = 1 << 20 };

/* One of two processes that put the same keys, each its own bytes, at the same time. */
static int writer(int go, char letter) {
  char *value = malloc(WRITTEN), key[32], start;
  memset(value, letter, WRITTEN);
  strcat(options, ";put_timeout_ms=30000");
  mooncake_mesh_t *mesh = opened();
  CHECK(read(go, &start, 1) == 1);
  for (int i = 0; i < KEYS; i++) {
    int length = snprintf(key, sizeof key, "writers-%d", i);
    EXPECT(mooncake_mesh_put(mesh, key, (size_t)length, value, WRITTEN, NULL), 0);
  }
  EXPECT(mooncake_mesh_close(mesh), 0);
  free(value);
  return failures ? 1 : 0;
}

/* What is there is whole, is one writer's, and stays so. */
static void two_writers(void) {
  int go[2];
  pid_t children[2];
  CHECK(pipe(go) == 0);
  for (int i = 0; i < 2; i++) {
    children[i] = fork();
    if (children[i] == 0) exit(writer(go[0], (char)('A' + i)));
  }
  char *value = malloc(WRITTEN), key[32], seen[KEYS] = {0};
  strcat(options, ";get_timeout_ms=30000;timeout_ms=30000");
  mooncake_mesh_t *mesh = opened();
  CHECK(write(go[1], "go", 2) == 2);
  double end = now() + 60;
  for (int known = 0; known < KEYS && now() < end;) {
    for (int i = known = 0; i < KEYS; i++) {
      int length = snprintf(key, sizeof key, "writers-%d", i);
      if (mooncake_mesh_exists(mesh, key, (size_t)length) == 1) {
        EXPECT(mooncake_mesh_get_into(mesh, key, (size_t)length, value, WRITTEN), WRITTEN);
        CHECK(value[0] == 'A' || value[0] == 'B');
        CHECK(memcmp(value, value + 1, WRITTEN - 1) == 0);
        CHECK(seen[i] == 0 || seen[i] == value[0]);
        seen[i] = value[0];
      }
      known += seen[i] != 0;
    }
  }
  for (int i = 0; i < KEYS; i++) CHECK(seen[i] != 0);
  for (int i = 0; i < 2; i++) EXPECT(status_of(children[i]), 0);
  EXPECT(mooncake_mesh_remove_by_regex(mesh, "^writers-"), KEYS);
  EXPECT(mooncake_mesh_close(mesh), 0);
  free(value);
}

struct usage {
  long pages, descriptors, mappings;
};

static long lines_of(const char *file) {
  FILE *stream = fopen(file, "r");
  long lines = 0;
  for (int c; (c = fgetc(stream)) != EOF;) lines += c == '\n';
  fclose(stream);
  return lines;
}

static struct usage used(void) {
  struct usage now = {0, 0, lines_of("/proc/self/maps")};
  FILE *statm = fopen("/proc/self/statm", "r");
  CHECK(fscanf(statm, "%*d %ld", &now.pages) == 1);
  fclose(statm);
  DIR *descriptors = opendir("/proc/self/fd");
  while (readdir(descriptors)) now.descriptors++;
  closedir(descriptors);
  return now;
}

static void store_cycle(void) {
  static char memory[4096];
  mooncake_store_t store = store_opened();
  EXPECT(mooncake_store_register_buffer(store, memory, sizeof memory), 0);
  EXPECT(mooncake_store_put_from(store, "cycle", memory, sizeof memory, NULL), 0);
  EXPECT(mooncake_store_get_into(store, "cycle", memory, sizeof memory), sizeof memory);
  EXPECT(mooncake_store_remove(store, "cycle", 0), 0);
  EXPECT(mooncake_store_unregister_buffer(store, memory), 0);
  mooncake_store_destroy(store);
}

static transfer_engine_t peer_engine;
static char peer_name[64], peer_memory[4096];

static void engine_cycle(void) {
  static char memory[4096];
  transfer_engine_t engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
  EXPECT(registerLocalMemory(engine, memory, sizeof memory, "*", 1), 0);
  segment_id_t peer = openSegment(engine, peer_name);
  CHECK(peer > 0);
  struct transfer_request request = {OPCODE_WRITE, memory, peer, (uint64_t)(uintptr_t)peer_memory, sizeof memory};
  int status = 0;
  uint64_t batch = 0;
  EXPECT(mooncake_mesh_engine_transfer(engine, &request, 1, 20000, &status, &batch), 0);
  EXPECT(status, STATUS_COMPLETED);
  EXPECT(closeSegment(engine, peer), 0);
  EXPECT(unregisterLocalMemory(engine, memory), 0);
  destroyTransferEngine(engine);
}

static transfer_engine_t shared_engine;
static segment_id_t peer_opened;

/* Requests of one engine that lives on; the thread blocks for each. */
static void transfer_cycle(void) {
  int status = 0;
  uint64_t batch = 0, there = (uint64_t)(uintptr_t)peer_memory;
  struct transfer_request request = {OPCODE_WRITE, peer_memory + 2048, peer_opened, there, 2048};
  EXPECT(mooncake_mesh_engine_transfer(shared_engine, &request, 1, 20000, &status, &batch), 0);
  EXPECT(status, STATUS_COMPLETED);
}

static segment_id_t shared_peer;
static char shared_memory[1000 * 4096], shared_peer_memory[1000 * 4096];
static int until_destroyed;

/* Each moves a page of its own there and back. */
static void *thread_of_engine(void *number) {
  size_t place = (size_t)number * 4096;
  uint64_t there = (uint64_t)(uintptr_t)(shared_peer_memory + place), batch;
  struct transfer_request request = {OPCODE_WRITE, shared_memory + place, shared_peer, there, 4096};
  int status;
  for (int i = 0; i < 10 || until_destroyed; i++) {
    memset(shared_memory + place, (int)((size_t)number + (size_t)i), 4096);
    request.opcode = i % 2 == 0 ? OPCODE_WRITE : OPCODE_READ;
    int64_t code = mooncake_mesh_engine_transfer(shared_engine, &request, 1, 60000, &status, &batch);
    if (until_destroyed && (code == -1 || code == -202 || (code == 0 && status != STATUS_COMPLETED))) return NULL;
    EXPECT(code, 0);
    EXPECT(status, STATUS_COMPLETED);
    CHECK(memcmp(shared_memory + place, shared_peer_memory + place, 4096) == 0);
  }
  return NULL;
}

static void *destroyer_or_user(void *number) {
  if ((size_t)number != 31) return thread_of_engine(number);
  struct timespec pause = {0, 100000000};
  nanosleep(&pause, NULL);
  destroyTransferEngine(shared_engine);
  return NULL;
}

static void engine_threads(void) {
  char name[64];
  transfer_engine_t peer = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
  EXPECT(registerLocalMemory(peer, shared_peer_memory, sizeof shared_peer_memory, "*", 1), 0);
  EXPECT(getLocalIpAndPort(peer, name, sizeof name), 0);
  for (until_destroyed = 0; until_destroyed < 2; until_destroyed++) {
    shared_engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
    EXPECT(registerLocalMemory(shared_engine, shared_memory, sizeof shared_memory, "*", 1), 0);
    shared_peer = openSegment(shared_engine, name);
    run_threads(until_destroyed ? destroyer_or_user : thread_of_engine, until_destroyed ? 32 : THREADS);
    destroyTransferEngine(shared_engine);
  }
  destroyTransferEngine(peer);
}

static void embedded_cycle(void) {
  mooncake_mesh_t *mesh = NULL;
  EXPECT(mooncake_mesh_open("registry=embedded;segment_size=1MiB;timeout_ms=10000", &mesh), 0);
  EXPECT(mooncake_mesh_put(mesh, "k", 1, "v", 1, NULL), 0);
  EXPECT(mooncake_mesh_close(mesh), 0);
}

static void call_cycle(void) {
  char value[4096] = {0};
  void *data;
  size_t size;
  mooncake_mesh_view_t *view;
  const void *seen;
  EXPECT(mooncake_mesh_put(shared, "cycle", 5, value, sizeof value, NULL), 0);
  EXPECT(mooncake_mesh_get(shared, "cycle", 5, &data, &size), sizeof value);
  mooncake_mesh_free(data);
  int64_t opened_view = mooncake_mesh_view_open(shared, "cycle", 5, 0, &view, &seen, &size);
  if (opened_view >= 0) EXPECT(mooncake_mesh_view_close(view), 0);
  EXPECT(mooncake_mesh_remove(shared, "cycle", 5), 0);
  EXPECT(mooncake_mesh_exists(shared, "", 0), -600);
}

static void *one_cycle(void *cycle) {
  ((void (*)(void))cycle)();
  return NULL;
}

/* Room for the collector: 16 MiB. */
static long spare_pages = 4096;

/* What a sixth of the cycles used at its least: the collector gives back late, and never what leaks. */
static struct usage least_of(struct usage least, int i, int begin, int sixth) {
  if (i < begin || i >= begin + sixth || i % (sixth / 50 + 1) != 0) return least;
  struct usage now = used();
  return least.pages == 0 || now.pages < least.pages ? now : least;
}

/* Flat: from the second sixth to the last one nothing of memory, descriptors and mappings grows. */
static void cycles(void (*cycle)(void), int count) {
  struct usage first = {0, 0, 0}, last = {0, 0, 0};
  int sixth = count / 6;
  for (int i = 0; i < count; i++) {
    /* Some on threads that end, so that what a thread has goes with it. */
    if (i % 8 == 0) {
      pthread_t thread;
      CHECK(pthread_create(&thread, NULL, one_cycle, (void *)cycle) == 0);
      CHECK(pthread_join(thread, NULL) == 0);
    } else {
      cycle();
    }
    first = least_of(first, i, sixth, sixth);
    last = least_of(last, i, count - sixth, sixth);
  }
  fprintf(stderr, "figure: %d cycles: pages %ld to %ld, descriptors %ld to %ld, mappings %ld to %ld\n", count,
          first.pages, last.pages, first.descriptors, last.descriptors, first.mappings, last.mappings);
  CHECK(last.pages <= first.pages + spare_pages);
  CHECK(last.descriptors <= first.descriptors + 8);
  CHECK(last.mappings <= first.mappings + 64);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *mode = argv[1];
  node = argv[2];
  int count = argc > 3 ? atoi(argv[3]) : 100;
  snprintf(options, sizeof options, "nodes=%s", node);
  if (strcmp(mode, "fork") == 0) forked();
  if (strcmp(mode, "fork-first") == 0) forked_first();
  if (strcmp(mode, "signals") == 0) signals();
  if (strcmp(mode, "threads") == 0) many_threads();
  if (strcmp(mode, "closing") == 0) closing();
  if (strcmp(mode, "killed") == 0) killed();
  if (strcmp(mode, "stopped") == 0) stopped(count);
  if (strcmp(mode, "writers") == 0) two_writers();
  if (strcmp(mode, "stores") == 0) cycles(store_cycle, count);
  if (strcmp(mode, "embedded") == 0) cycles(embedded_cycle, count);
  if (strcmp(mode, "engine-threads") == 0) engine_threads();
  if (strcmp(mode, "engines") == 0) {
    peer_engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
    EXPECT(registerLocalMemory(peer_engine, peer_memory, sizeof peer_memory, "*", 1), 0);
    EXPECT(getLocalIpAndPort(peer_engine, peer_name, sizeof peer_name), 0);
    cycles(engine_cycle, count);
    destroyTransferEngine(peer_engine);
  }
  if (strcmp(mode, "transfers") == 0) {
    transfer_engine_t *both[] = {&peer_engine, &shared_engine};
    for (int i = 0; i < 2; i++) {
      *both[i] = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 0);
      CHECK(installTransport(*both[i], "tcp", NULL) != NULL);
      EXPECT(registerLocalMemory(*both[i], peer_memory, sizeof peer_memory, "*", 1), 0);
    }
    EXPECT(getLocalIpAndPort(peer_engine, peer_name, sizeof peer_name), 0);
    CHECK((peer_opened = openSegment(shared_engine, peer_name)) > 0);
    /* Where each transfer leaves what Monitor leaves for an object that was waited for, 600,000 leave over 2,800. The
       collector takes 1,000 more at once, sooner or later, and the threads that end leave it some work. */
    spare_pages = 2048;
    cycles(transfer_cycle, count);
    destroyTransferEngine(shared_engine);
    destroyTransferEngine(peer_engine);
  }
  if (strcmp(mode, "calls") == 0) {
    shared = opened();
    cycles(call_cycle, count);
    EXPECT(mooncake_mesh_close(shared), 0);
  }
  return ended();
}
