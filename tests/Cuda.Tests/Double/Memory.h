/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of the devices that there are not. A block is a memfd that is mapped twice: at the address that is given out,
 * where nobody may touch it, and where the double reads and writes it. Another process opens it through /proc.
 */
enum kind { KIND_HOST = 1, KIND_DEVICE = 2, KIND_MANAGED = 3, KIND_MAPPED = 4 };

struct region {
    struct region *next;
    uintptr_t address;
    size_t length;
    char *data;
    enum kind kind;
    int device, fd, plain, opens;
    pid_t owner;
    int owner_fd;
    long id;
};

struct handle { char magic[8]; int pid, fd, device; long id; size_t length; };

static struct region *regions;
static size_t used[DEVICES + 1];
static long last_id;

static struct region *region_at(uintptr_t address, size_t bytes)
{
    for (struct region *r = regions; r; r = r->next)
        if (address >= r->address && address - r->address < r->length && bytes <= r->length - (address - r->address))
            return r;
    return NULL;
}

static int is_memfd(pid_t pid, int fd, long id)
{
    char path[64], target[64], wanted[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    snprintf(wanted, sizeof wanted, "/memfd:cuda-double-%d-%ld (deleted)", pid, id);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return 0;
    target[length] = 0;
    return !strcmp(target, wanted);
}

/* Where the double finds memory of a device, if it is there; a block of another process goes with that process. */
static char *device_data(uintptr_t address, size_t bytes, int device)
{
    struct region *r = region_at(address, bytes);
    if (!r || r->kind == KIND_HOST || (device >= 0 && r->device != device))
        return NULL;
    if (r->kind == KIND_MAPPED && !is_memfd(r->owner, r->owner_fd, r->id))
        return NULL;
    return r->data + (address - r->address);
}

/* Pinned memory. That a copy is asked for with other memory of the host is never right here. */
static char *host_data(uintptr_t address, size_t bytes)
{
    struct region *r = region_at(address, bytes);
    if (r && r->kind == KIND_HOST)
        return (char *)address;
    violations++;
    return NULL;
}

static char *any_data(uintptr_t address, size_t bytes)
{
    struct region *r = region_at(address, bytes);
    return r && r->kind == KIND_HOST ? (char *)address : device_data(address, bytes, -1);
}

static struct region *add_region(enum kind kind, int device, size_t length, int fd)
{
    int visible = kind == KIND_HOST || kind == KIND_MANAGED;
    void *data = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void *address = visible ? data : mmap(NULL, length, PROT_NONE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED || address == MAP_FAILED)
        abort();
    struct region *r = calloc(1, sizeof *r);
    *r = (struct region){ .next = regions, .address = (uintptr_t)address, .length = length, .data = data, .kind = kind,
                          .device = device, .fd = fd, .plain = kind == KIND_DEVICE, .opens = 1 };
    return regions = r;
}

static struct region *new_region(enum kind kind, int device, size_t length)
{
    char name[64];
    long id = ++last_id;
    snprintf(name, sizeof name, "cuda-double-%d-%ld", getpid(), id);
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)length))
        abort();
    struct region *r = add_region(kind, device, length, fd);
    r->id = id;
    /* What was never written is not 0. */
    memset(r->data, 0xa5, length);
    return r;
}

static void drop_region(struct region *gone)
{
    struct region **at = &regions;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    munmap(gone->data, gone->length);
    if (gone->address != (uintptr_t)gone->data)
        munmap((void *)gone->address, gone->length);
    close(gone->fd);
    free(gone);
}

static long count_regions(enum kind kind)
{
    long count = 0;
    for (struct region *r = regions; r; r = r->next)
        count += r->kind == kind;
    return count;
}

/* Copies between memory of the host and a block, for tests to look into it. */
EXPORT int double_peek(uintptr_t address, void *to, size_t bytes)
{
    pthread_mutex_lock(&gate);
    char *data = device_data(address, bytes, -1);
    if (data)
        memcpy(to, data, bytes);
    pthread_mutex_unlock(&gate);
    return data != NULL;
}

EXPORT int double_poke(uintptr_t address, const void *from, size_t bytes)
{
    pthread_mutex_lock(&gate);
    char *data = device_data(address, bytes, -1);
    if (data)
        memcpy(data, from, bytes);
    pthread_mutex_unlock(&gate);
    return data != NULL;
}

/* Memory that the driver moves by itself. */
EXPORT uintptr_t double_managed(size_t length)
{
    pthread_mutex_lock(&gate);
    uintptr_t address = new_region(KIND_MANAGED, 0, length)->address;
    pthread_mutex_unlock(&gate);
    return address;
}

/* Has a block look as if it were mapped piece by piece. */
EXPORT void double_in_pieces(uintptr_t address)
{
    pthread_mutex_lock(&gate);
    region_at(address, 1)->plain = 0;
    pthread_mutex_unlock(&gate);
}
