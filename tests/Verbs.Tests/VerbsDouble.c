/* SPDX-License-Identifier: Apache-2.0
 *
 * Test double of libibverbs: exports every name that the loader asks for. Built by the tests with
 *   -DDEVICES=n      number of devices listed
 *   -DOPENS=0|1      whether a device opens
 *   -DNO_LIST        ibv_get_device_list fails
 *   -DNO_QUERY_GID   ibv_query_gid is missing
 */
#include <stddef.h>

#ifndef DEVICES
#define DEVICES 0
#endif
#ifndef OPENS
#define OPENS 1
#endif

static int device;
static int context;
static void *list[DEVICES + 1];

void **ibv_get_device_list(int *count)
{
#ifdef NO_LIST
    return NULL;
#else
    for (int i = 0; i < DEVICES; i++)
        list[i] = &device;
    *count = DEVICES;
    return list;
#endif
}

void ibv_free_device_list(void **devices) { (void)devices; }
void *ibv_open_device(void *which) { return OPENS && which == &device ? &context : NULL; }
int ibv_close_device(void *which) { return which == &context ? 0 : -1; }
const char *ibv_get_device_name(void *which) { (void)which; return "double0"; }
unsigned long ibv_get_device_guid(void *which) { (void)which; return 0; }

#define STUB(name) int name(void) { return -1; }
STUB(ibv_query_device) STUB(ibv_query_port) STUB(ibv_alloc_pd) STUB(ibv_dealloc_pd) STUB(ibv_reg_mr)
STUB(ibv_dereg_mr) STUB(ibv_create_comp_channel) STUB(ibv_destroy_comp_channel) STUB(ibv_create_cq)
STUB(ibv_destroy_cq) STUB(ibv_get_cq_event) STUB(ibv_ack_cq_events) STUB(ibv_create_qp) STUB(ibv_modify_qp)
STUB(ibv_query_qp) STUB(ibv_destroy_qp) STUB(ibv_get_async_event) STUB(ibv_ack_async_event)
#ifndef NO_QUERY_GID
STUB(ibv_query_gid)
#endif
