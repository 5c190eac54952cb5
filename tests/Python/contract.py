# SPDX-License-Identifier: Apache-2.0
"""What callers of Mooncake's Python packages rely on: names, parameters in order, and their defaults."""

STORE = """
close() health_check() get_hostname() init_all(protocol, device_name, mount_segment_size=16777216)
setup_dummy(mem_pool_size, local_buffer_size, server_address) alloc_from_mem_pool(size)
put(key, value, config=None) put_parts(key, *parts, config=None) put_batch(keys, values, config=None)
put_from(key, buffer_ptr, size, config=None)
put_from_with_metadata(key, buffer_ptr, metadata_buffer_ptr, size, metadata_size, config=None)
batch_put_from(keys, buffer_ptrs, sizes, config=None)
batch_put_from_multi_buffers(keys, all_buffer_ptrs, all_sizes, config=None)
upsert(key, value, config=None) upsert_from(key, buffer_ptr, size, config=None)
upsert_parts(key, *parts, config=None) upsert_batch(keys, values, config=None)
batch_upsert_from(keys, buffer_ptrs, sizes, config=None)
get(key) get_batch(keys) get_buffer(key) batch_get_buffer(keys) get_into(key, buffer_ptr, size)
batch_get_into(keys, buffer_ptrs, sizes)
batch_get_into_multi_buffers(keys, all_buffer_ptrs, all_sizes, prefer_alloc_in_same_node=False)
get_into_ranges(buffer_ptrs, all_keys, all_dst_offsets, all_src_offsets, all_sizes)
batch_get_session_start(keys) batch_get_session_end(keys)
batch_get_into_multi_buffer_ranges(keys, all_buffer_ptrs, all_sizes, all_src_offsets)
batch_put_session_start(keys, sizes, config=None)
batch_put_from_multi_buffer_ranges(keys, all_buffer_ptrs, all_sizes, all_dst_offsets)
batch_put_session_end(keys) batch_put_session_revoke(keys)
is_exist(key) isExist(key) batch_is_exist(keys) get_size(key) tearDownAll()
remove(key, force=False) remove_by_regex(regex_pattern, force=False) remove_all(force=False)
batch_remove(keys, force=False) register_buffer(buffer_ptr, size) unregister_buffer(buffer_ptr)
get_replica_desc(key) batch_get_replica_desc(keys) batch_replica_clear(keys, segment_name='')
create_copy_task(key, targets) create_move_task(key, source, target) query_task(task_id)
mount_segment(path, size, offset=0, protocol='tcp', location='')
allocate_and_mount_segment(size, protocol='tcp', location='')
unmount_segment(segment_ids, grace_period_seconds=0) unmount_and_free_segment(segment_ids, grace_period_seconds=0)
unmount_local_disk_segment(grace_period_seconds=0) get_offload_rpc_read_count()
"""

TENSORS = """
put_tensor(key, tensor) upsert_tensor(key, tensor) get_tensor(key) batch_get_tensor(keys)
pub_tensor(key, tensor, config=None) upsert_pub_tensor(key, tensor, config=None)
batch_put_tensor(keys, tensors_list) batch_upsert_tensor(keys, tensors_list)
batch_pub_tensor(keys, tensors_list, config=None) batch_upsert_pub_tensor(keys, tensors_list, config=None)
put_tensor_with_tp(key, tensor, tp_rank=0, tp_size=1, split_dim=0)
upsert_tensor_with_tp(key, tensor, tp_rank=0, tp_size=1, split_dim=0)
pub_tensor_with_tp(key, tensor, config=None, tp_rank=0, tp_size=1, split_dim=0)
upsert_pub_tensor_with_tp(key, tensor, config=None, tp_rank=0, tp_size=1, split_dim=0)
batch_put_tensor_with_tp(base_keys, tensors_list, tp_rank=0, tp_size=1, split_dim=0)
batch_upsert_tensor_with_tp(base_keys, tensors_list, tp_rank=0, tp_size=1, split_dim=0)
batch_pub_tensor_with_tp(base_keys, tensors_list, config=None, tp_rank=0, tp_size=1, split_dim=0)
batch_upsert_pub_tensor_with_tp(base_keys, tensors_list, config=None, tp_rank=0, tp_size=1, split_dim=0)
get_tensor_with_tp(key, tp_rank=0, tp_size=1, split_dim=0) batch_get_tensor_with_tp(base_keys, tp_rank=0, tp_size=1)
get_tensor_into(key, buffer_ptr, size) batch_get_tensor_into(keys, buffer_ptrs, sizes)
get_tensor_with_tp_into(key, buffer_ptr, size, tp_rank=0, tp_size=1, split_dim=0)
batch_get_tensor_with_tp_into(base_keys, buffer_ptrs, sizes, tp_rank=0, tp_size=1, split_dim=0)
get_tensor_into_cuda(key, buffer_ptr, size) batch_get_tensor_into_cuda(keys, buffer_ptrs, sizes)
put_tensor_from(key, buffer_ptr, size) batch_put_tensor_from(keys, buffer_ptrs, sizes)
upsert_tensor_from(key, buffer_ptr, size) batch_upsert_tensor_from(keys, buffer_ptrs, sizes)
put_tensor_with_tp_from(key, buffer_ptr, size, tp_rank=0, tp_size=1, split_dim=0)
batch_put_tensor_with_tp_from(base_keys, buffer_ptrs, sizes, tp_rank=0, tp_size=1, split_dim=0)
put_tensor_with_parallelism(key, tensor, parallelism=None, config=None, writer_partition=None)
upsert_tensor_with_parallelism(key, tensor, parallelism=None, config=None, writer_partition=None)
batch_put_tensor_with_parallelism(keys, tensors_list, parallelisms=None, config=None, writer_partitions=None)
batch_upsert_tensor_with_parallelism(keys, tensors_list, parallelisms=None, config=None, writer_partitions=None)
put_tensor_with_parallelism_from(key, buffer_ptr, size, parallelism=None, config=None, writer_partition=None)
upsert_tensor_with_parallelism_from(key, buffer_ptr, size, parallelism=None, config=None, writer_partition=None)
batch_put_tensor_with_parallelism_from(keys, buffer_ptrs, sizes, parallelisms=None, config=None,
writer_partitions=None)
batch_upsert_tensor_with_parallelism_from(keys, buffer_ptrs, sizes, parallelisms=None, config=None,
writer_partitions=None)
get_tensor_with_parallelism(key, target=None) batch_get_tensor_with_parallelism(keys, targets=None)
get_tensor_with_parallelism_into(key, buffer_ptr, size, target=None)
batch_get_tensor_with_parallelism_into(keys, buffer_ptrs, sizes, targets=None)
save_tensor_to_safetensor(key, file_name=None) load_tensor_from_safetensor(key=None, file_name=None)
"""

ENGINE = """
initialize(local_hostname, metadata_server, protocol, device_name)
initialize_ext(local_hostname, metadata_server, protocol, device_name, metadata_type) get_rpc_port()
register_memory(buffer_addr, capacity, location='*') unregister_memory(addr)
batch_register_memory(buffer_addresses, capacities, location='*') batch_unregister_memory(addrs)
allocate_managed_buffer(length) free_managed_buffer(addr, length) write_bytes_to_buffer(dest, bytes, length)
read_bytes_from_buffer(src, length) get_first_buffer_address(segment_name)
transfer_sync_write(target_hostname, buffer, peer_buffer_address, length, transport_hint='')
transfer_sync_read(target_hostname, buffer, peer_buffer_address, length, transport_hint='')
transfer_sync(target_hostname, buffer, peer_buffer_address, length, opcode, notify=None, transport_hint='')
batch_transfer_sync_write(target_hostname, buffers, peer_buffer_addresses, lengths, transport_hint='')
batch_transfer_sync_read(target_hostname, buffers, peer_buffer_addresses, lengths, transport_hint='')
batch_transfer_sync(target_hostname, buffers, peer_buffer_addresses, lengths, opcode, notify=None, transport_hint='')
batch_transfer_async_write(target_hostname, buffers, peer_buffer_addresses, lengths, transport_hint='')
batch_transfer_async_read(target_hostname, buffers, peer_buffer_addresses, lengths, transport_hint='')
batch_transfer_async(target_hostname, buffers, peer_buffer_addresses, lengths, opcode, transport_hint='')
get_batch_transfer_status(batch_ids)
transfer_submit_write(target_hostname, buffer, peer_buffer_address, length) transfer_check_status(batch_id)
get_local_topology(device_name=None) get_notifies() send_probe(peer_server_name, *_)
warmup_efa_segment(name) get_engine() get_engine_ptr()
transfer_write_on_cuda(target_hostname, buffer, peer_buffer_address, length, stream_ptr=0, transport_hint='')
transfer_read_on_cuda(target_hostname, buffer, peer_buffer_address, length, stream_ptr=0, transport_hint='')
batch_transfer_write_on_cuda(target_hostname, buffers, peer_buffer_addresses, lengths, stream_ptr=0,
transport_hint='')
batch_transfer_read_on_cuda(target_hostname, buffers, peer_buffer_addresses, lengths, stream_ptr=0, transport_hint='')
"""

POOL = """
acquire(size, block=None, timeout=None) buffer(size, block=None, timeout=None) prewarm(size, count=1) close()
"""

NAMES = """
BufferHandle BufferLease BufferPool Descriptor DiskDescriptor EngramStore EngramStoreConfig MemoryDescriptor
MooncakeDistributedNoFRegister MooncakeDistributedStore MooncakeHostMemAllocator ObjectDataType ParallelAxis
QueryTaskResponse ReadTarget RegisteredBufferPool ReplicaDescriptor ReplicaStatus ReplicateConfig SoftPinAction
TaskStatus TaskType TensorParallelism bind_to_numa_node get_alloc_func_addr get_free_func_addr
_deserialize_tensor _serialize_tensor _tensor_metadata_size
"""

ENUMS = {
    "ObjectDataType": "UNKNOWN KVCACHE TENSOR WEIGHT SAMPLE ACTIVATION GRADIENT OPTIMIZER_STATE METADATA GENERAL",
    "SoftPinAction": "PRESERVE ENABLE DISABLE",
    "ReplicaStatus": "UNDEFINED INITIALIZED PROCESSING COMPLETE REMOVED FAILED",
    "TaskType": "REPLICA_COPY REPLICA_MOVE",
    "TaskStatus": "PENDING PROCESSING SUCCESS FAILED",
}

CONFIG = {
    "replica_num": 1, "nof_replica_num": 0, "dfs_replica_num": 0, "soft_pin_action": 0, "soft_pin_ttl_ms": None,
    "with_hard_pin": False, "preferred_segments": [], "preferred_segment": "", "preferred_nof_segments": [],
    "prefer_alloc_in_same_node": False, "data_type": 0, "group_ids": None,
}
