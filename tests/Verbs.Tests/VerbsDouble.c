/* SPDX-License-Identifier: Apache-2.0
 *
 * Test double of libibverbs: exports every name that the loader asks for, and moves no byte. Built by the tests with
 *   -DDEVICES=n       number of devices listed: double0, double1, ...
 *   -DOPENS=0         no device opens, and errno says nothing
 *   -DOPEN_ERRNO=n    no device opens, with that errno
 *   -DNO_LIST         ibv_get_device_list fails
 *   -DNO_QUERY_GID    ibv_query_gid is missing
 *   -DNO_OPTIONAL     the calls of newer libraries are missing
 *   -DLAYER=n         the link layer that ports report
 *   -DPD_ERRNO=n      ibv_alloc_pd fails, and likewise MR_, CQ_ and QP_ERRNO
 *   -DMAX_INLINE=n    ibv_create_qp refuses more inline bytes
 *   -DROOM=n          the send queue takes n requests, then answers ENOMEM
 *   -DDEAF            the send queue takes every request and answers EIO
 *   -DPOLL=n          what poll_cq returns
 *   -DSTUCK           regions cannot be deregistered
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <infiniband/verbs.h>

#undef ibv_query_port
#undef ibv_reg_mr

#ifndef DEVICES
#define DEVICES 0
#endif
#ifndef LAYER
#define LAYER IBV_LINK_LAYER_ETHERNET
#endif
#ifndef MAX_INLINE
#define MAX_INLINE 64
#endif
#ifndef ROOM
#define ROOM 1000
#endif
#ifndef POLL
#define POLL 0
#endif

struct posted {
    uint64_t wr_id, address, remote_address;
    uint32_t pieces, opcode, flags, chain;
};

static struct ibv_device devices[DEVICES + 1];
static struct ibv_device *list[DEVICES + 1];
static struct ibv_context context;
static struct ibv_pd domain;
static struct ibv_mr region;
static struct ibv_comp_channel channel;
static struct ibv_cq queue;
static struct ibv_qp pair;
static int event_pipe[2], channel_pipe[2];
static char ended[64];
static unsigned int access_given;
static struct posted posted[ROOM + 1];
static unsigned int posted_count, chains;

/* What the tests ask: one letter for every object that was ended, in order; the last access flags; a request. */
const char *double_ended(void) { return ended; }
unsigned int double_access(void) { return access_given; }
const struct posted *double_posted(unsigned int index) { return index < posted_count ? &posted[index] : NULL; }

static int end(char letter)
{
    ended[strlen(ended)] = letter;
    return 0;
}

static void *fail(int number)
{
    errno = number;
    return NULL;
}

struct ibv_device **ibv_get_device_list(int *count)
{
#ifdef NO_LIST
    return fail(ENOSYS);
#else
    for (int i = 0; i < DEVICES; i++) {
        strcpy(devices[i].name, "double0");
        devices[i].name[6] += i;
        list[i] = &devices[i];
    }
    *count = DEVICES;
    return list;
#endif
}

void ibv_free_device_list(struct ibv_device **which) { (void)which; }
const char *ibv_get_device_name(struct ibv_device *which) { return which->name; }
__be64 ibv_get_device_guid(struct ibv_device *which) { (void)which; return 0x0100000000000000; }

static int poll_cq(struct ibv_cq *cq, int room, struct ibv_wc *completions)
{
    (void)cq; (void)room; (void)completions;
    return POLL;
}

static int req_notify_cq(struct ibv_cq *cq, int solicited)
{
    (void)cq; (void)solicited;
    return 0;
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *request, struct ibv_send_wr **refused)
{
    (void)qp;
    for (chains++; request; request = request->next) {
        if (posted_count >= ROOM) {
            *refused = request;
            return ENOMEM;
        }
        posted[posted_count++] = (struct posted){
            request->wr_id, request->sg_list->addr, request->wr.rdma.remote_addr, (uint32_t)request->num_sge,
            request->opcode, request->send_flags, chains,
        };
    }
#ifdef DEAF
    return EIO;
#else
    return 0;
#endif
}

struct ibv_context *ibv_open_device(struct ibv_device *which)
{
#if defined(OPEN_ERRNO)
    (void)which;
    return fail(OPEN_ERRNO);
#elif defined(OPENS)
    (void)which;
    return NULL;
#else
    if (pipe2(event_pipe, O_CLOEXEC) || pipe2(channel_pipe, O_CLOEXEC))
        return NULL;
    context.device = which;
    context.async_fd = event_pipe[0];
    context.num_comp_vectors = 1;
    context.ops.poll_cq = poll_cq;
    context.ops.req_notify_cq = req_notify_cq;
    context.ops.post_send = post_send;
    return &context;
#endif
}

int ibv_close_device(struct ibv_context *which)
{
    (void)which;
    for (int i = 0; i < 2; i++) {
        close(event_pipe[i]);
        close(channel_pipe[i]);
    }
    return end('D');
}

int ibv_query_device(struct ibv_context *which, struct ibv_device_attr *attr)
{
    (void)which;
    strcpy(attr->fw_ver, "1.2.3");
    attr->max_mr_size = ~0UL;
    attr->max_qp_wr = 1024;
    attr->max_sge = 32;
    attr->max_sge_rd = 16;
    attr->max_cqe = 1024;
    attr->max_qp_rd_atom = 300;
    attr->phys_port_cnt = 2;
    return 0;
}

int ibv_query_port(struct ibv_context *which, uint8_t port, struct _compat_ibv_port_attr *compat)
{
    struct ibv_port_attr *attr = (struct ibv_port_attr *)compat;
    (void)which;
    if (port < 1 || port > 2)
        return EINVAL;
    attr->state = IBV_PORT_ACTIVE;
    attr->active_mtu = IBV_MTU_1024;
    attr->gid_tbl_len = 3;
    attr->link_layer = LAYER;
    return 0;
}

#ifndef NO_QUERY_GID
int ibv_query_gid(struct ibv_context *which, uint8_t port, int index, union ibv_gid *gid)
{
    (void)which; (void)port;
    memset(gid, 0, sizeof(*gid));
    if (index != 1) { /* row 1 is empty */
        gid->raw[0] = 0xfe;
        gid->raw[15] = (uint8_t)(index + 1);
    }
    return 0;
}
#endif

struct ibv_pd *ibv_alloc_pd(struct ibv_context *which)
{
#ifdef PD_ERRNO
    (void)which;
    return fail(PD_ERRNO);
#else
    domain.context = which;
    return &domain;
#endif
}

int ibv_dealloc_pd(struct ibv_pd *which) { (void)which; return end('P'); }

static struct ibv_mr *register_region(void *address, size_t length, unsigned int access)
{
#ifdef MR_ERRNO
    (void)address; (void)length; (void)access;
    return fail(MR_ERRNO);
#else
    access_given = access;
    region.addr = address;
    region.length = length;
    region.lkey = 7;
    region.rkey = 9;
    return &region;
#endif
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    (void)pd;
    return access & IBV_ACCESS_OPTIONAL_RANGE ? fail(EINVAL) : register_region(address, length, access);
}

#ifndef NO_OPTIONAL
struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, unsigned int access)
{
    (void)pd;
    return (uintptr_t)address == iova ? register_region(address, length, access) : fail(EINVAL);
}

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova, int fd, int access)
{
    (void)pd; (void)offset;
    return fd < 0 ? fail(EBADF) : register_region((void *)(uintptr_t)iova, length, (unsigned int)access);
}

ssize_t _ibv_query_gid_table(
    struct ibv_context *which, struct ibv_gid_entry *entries, size_t room, uint32_t flags, size_t size)
{
    (void)which; (void)flags;
    if (room < 6 || size != sizeof(*entries))
        return -EINVAL;
    for (int i = 0; i < 3; i++) {
        memset(&entries[i], 0, sizeof(entries[i]));
        entries[i].gid.raw[15] = (uint8_t)i;
        entries[i].gid_index = (uint32_t)(2 - i);
        entries[i].port_num = i == 1 ? 2 : 1;
        entries[i].gid_type = IBV_GID_TYPE_ROCE_V2;
        entries[i].ndev_ifindex = 4;
    }
    return 3;
}
#endif

int ibv_dereg_mr(struct ibv_mr *which)
{
    (void)which;
#ifdef STUCK
    return EBUSY;
#else
    return end('M');
#endif
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *which)
{
    channel.context = which;
    channel.fd = channel_pipe[0];
    return &channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *which) { (void)which; return end('H'); }

struct ibv_cq *ibv_create_cq(
    struct ibv_context *which, int depth, void *user, struct ibv_comp_channel *wakes, int vector)
{
#ifdef CQ_ERRNO
    (void)which; (void)depth; (void)user; (void)wakes; (void)vector;
    return fail(CQ_ERRNO);
#else
    (void)user; (void)vector;
    queue.context = which;
    queue.channel = wakes;
    queue.cqe = depth;
    return &queue;
#endif
}

int ibv_destroy_cq(struct ibv_cq *which) { (void)which; return end('C'); }

int ibv_get_cq_event(struct ibv_comp_channel *which, struct ibv_cq **cq, void **user)
{
    char byte;
    *cq = &queue;
    *user = NULL;
    return read(which->fd, &byte, 1) == 1 ? 0 : -1;
}

void ibv_ack_cq_events(struct ibv_cq *which, unsigned int count) { which->comp_events_completed += count; }

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
#ifdef QP_ERRNO
    (void)pd; (void)attr;
    return fail(QP_ERRNO);
#else
    if (attr->cap.max_inline_data > MAX_INLINE)
        return fail(EINVAL);
    pair.context = pd->context;
    pair.qp_num = 17;
    attr->cap.max_send_wr++;
    return &pair;
#endif
}

int ibv_modify_qp(struct ibv_qp *which, struct ibv_qp_attr *attr, int mask)
{
    (void)mask;
    which->state = attr->qp_state;
    return 0;
}

int ibv_query_qp(struct ibv_qp *which, struct ibv_qp_attr *attr, int mask, struct ibv_qp_init_attr *init)
{
    (void)mask; (void)init;
    attr->qp_state = which->state;
    return 0;
}

int ibv_destroy_qp(struct ibv_qp *which) { (void)which; return end('Q'); }

int ibv_get_async_event(struct ibv_context *which, struct ibv_async_event *event)
{
    return read(which->async_fd, event, sizeof(*event)) == sizeof(*event) ? 0 : -1;
}

void ibv_ack_async_event(struct ibv_async_event *event) { (void)event; }
