# SPDX-License-Identifier: Apache-2.0
"""mooncake.engine: the transfer engine as Mooncake's users call it."""

from __future__ import annotations

import ctypes as c
import enum
import threading
from typing import Any, Dict, List, Optional, Sequence

from mooncake_mesh._bindings import take

from ._engine_native import NotifyMessage, Request, native
from ._environment import forces_tcp
from ._registered import address, addresses

_PENDING, _COMPLETED, _SLICE_MS = -2000, 4, 100
_INVALID, _NO_DEVICE = -1, -6


class TransferOpcode(enum.IntEnum):
    """Which way the bytes go."""

    Read = 0
    Write = 1

    READ = 0
    WRITE = 1


class TransferNotify:
    """A message that comes after the bytes."""

    def __init__(self, name: str = "", msg: str = "") -> None:
        self.name = name
        self.msg = msg


class TransferEngine:
    """Moves bytes between registered memory of two processes."""

    def __init__(self) -> None:
        self._native = native()
        self._engine: Optional[int] = None
        self._segments: Dict[str, int] = {}
        self._lock = threading.Lock()

    def __del__(self) -> None:
        engine, self._engine = getattr(self, "_engine", None), None
        if engine:
            self._native.destroyTransferEngine(engine)

    def initialize(self, local_hostname: str, metadata_server: str, protocol: str, device_name: str) -> int:
        """0, or a code. protocol: tcp or rdma; auto is all there is."""
        if self._engine:
            return _INVALID
        if forces_tcp():
            protocol = "tcp"
        every = protocol in ("auto", "")
        engine = self._native.createTransferEngine(
            metadata_server.encode(), local_hostname.encode(), b"", 0, int(every))
        if not engine:
            return _INVALID
        wanted = () if every else ("tcp", "shm", "cma") if protocol == "tcp" else (protocol,)
        for name in wanted:
            if not self._native.installTransport(engine, name.encode(), None) and name == protocol:
                self._native.destroyTransferEngine(engine)
                return _NO_DEVICE
        self._engine = engine
        return 0

    def initialize_ext(self, local_hostname: str, metadata_server: str, protocol: str, device_name: str,
                       metadata_type: str) -> int:
        """The same; the kind of the metadata server is written before it."""
        if metadata_type == "etcd" and "://" not in metadata_server:
            metadata_server = "etcd://" + metadata_server
        return self.initialize(local_hostname, metadata_server, protocol, device_name)

    def get_rpc_port(self) -> int:
        """Port of this engine."""
        buffer = c.create_string_buffer(256)
        if self._native.getLocalIpAndPort(self._engine, buffer, len(buffer)) != 0:
            return _INVALID
        return int(buffer.value.rsplit(b":", 1)[1])

    # ---- memory

    def register_memory(self, buffer_addr: int, capacity: int, location: str = "*") -> int:
        """0, or a code."""
        return self._native.registerLocalMemory(self._engine, address(buffer_addr), address(capacity),
                                                location.encode(), 1)

    def unregister_memory(self, addr: int) -> int:
        """0, or a code."""
        return self._native.unregisterLocalMemory(self._engine, address(addr))

    def batch_register_memory(self, buffer_addresses: Sequence[int], capacities: Sequence[int],
                              location: str = "*") -> int:
        """0 when all were; else none is, and a code."""
        if len(buffer_addresses) != len(capacities):
            return _INVALID
        done: List[int] = []
        for start, size in zip(buffer_addresses, capacities):
            code = self.register_memory(start, size, location)
            if code != 0:
                self.batch_unregister_memory(done)
                return code
            done.append(start)
        return 0

    def batch_unregister_memory(self, addrs: Sequence[int]) -> int:
        """0, or the first code."""
        codes = [self.unregister_memory(one) for one in addrs]
        return next((code for code in codes if code != 0), 0)

    def allocate_managed_buffer(self, length: int) -> int:
        """Address of registered memory; 0 where there is none."""
        memory = c.c_void_p()
        code = self._native.mooncake_mesh_engine_allocate(self._engine, address(length), c.byref(memory))
        return memory.value or 0 if code == 0 else 0

    def free_managed_buffer(self, addr: int, length: int) -> int:
        """0, or a code."""
        return self._native.mooncake_mesh_engine_free(self._engine, address(addr), address(length))

    def write_bytes_to_buffer(self, dest: int, bytes: Any, length: int) -> int:
        """Copies bytes to memory of this process."""
        if not dest or not 0 <= length <= len(bytes):
            return _INVALID
        c.memmove(dest, memoryview(bytes)[:length].tobytes(), length)
        return 0

    def read_bytes_from_buffer(self, src: int, length: int) -> "bytes":
        """Copies bytes from memory of this process."""
        return c.string_at(src, length) if src else b""

    def get_first_buffer_address(self, segment_name: str) -> int:
        """Where the first registered memory of a peer begins; 0 on a failure."""
        first = c.c_uint64()
        segment = self._segment(segment_name)
        if segment < 0 or self._native.mooncake_mesh_engine_first_buffer(self._engine, segment, c.byref(first)) != 0:
            return 0
        return first.value

    # ---- transfers

    def transfer_sync(self, target_hostname: str, buffer: int, peer_buffer_address: int, length: int,
                      opcode: TransferOpcode, notify: Optional[TransferNotify] = None,
                      transport_hint: str = "") -> int:
        """0 once the bytes are there, or a code."""
        return self.batch_transfer_sync(target_hostname, [buffer], [peer_buffer_address], [length], opcode, notify)

    def transfer_sync_write(self, target_hostname: str, buffer: int, peer_buffer_address: int, length: int,
                            transport_hint: str = "") -> int:
        """To the peer."""
        return self.transfer_sync(target_hostname, buffer, peer_buffer_address, length, TransferOpcode.Write)

    def transfer_sync_read(self, target_hostname: str, buffer: int, peer_buffer_address: int, length: int,
                           transport_hint: str = "") -> int:
        """From the peer."""
        return self.transfer_sync(target_hostname, buffer, peer_buffer_address, length, TransferOpcode.Read)

    def batch_transfer_sync(self, target_hostname: str, buffers: Sequence[int], peer_buffer_addresses: Sequence[int],
                            lengths: Sequence[int], opcode: TransferOpcode,
                            notify: Optional[TransferNotify] = None, transport_hint: str = "") -> int:
        """The same for several."""
        batch = self._submit(target_hostname, buffers, peer_buffer_addresses, lengths, opcode, notify)
        return self.get_batch_transfer_status([batch]) if batch > 0 else batch

    def batch_transfer_sync_write(self, target_hostname: str, buffers: Sequence[int],
                                  peer_buffer_addresses: Sequence[int], lengths: Sequence[int],
                                  transport_hint: str = "") -> int:
        """To the peer."""
        return self.batch_transfer_sync(target_hostname, buffers, peer_buffer_addresses, lengths,
                                        TransferOpcode.Write)

    def batch_transfer_sync_read(self, target_hostname: str, buffers: Sequence[int],
                                 peer_buffer_addresses: Sequence[int], lengths: Sequence[int],
                                 transport_hint: str = "") -> int:
        """From the peer."""
        return self.batch_transfer_sync(target_hostname, buffers, peer_buffer_addresses, lengths,
                                        TransferOpcode.Read)

    def batch_transfer_async(self, target_hostname: str, buffers: Sequence[int], peer_buffer_addresses: Sequence[int],
                             lengths: Sequence[int], opcode: TransferOpcode, transport_hint: str = "") -> int:
        """A batch to be waited for; 0 where it was not begun."""
        return max(0, self._submit(target_hostname, buffers, peer_buffer_addresses, lengths, opcode, None))

    def batch_transfer_async_write(self, target_hostname: str, buffers: Sequence[int],
                                   peer_buffer_addresses: Sequence[int], lengths: Sequence[int],
                                   transport_hint: str = "") -> int:
        """To the peer."""
        return self.batch_transfer_async(target_hostname, buffers, peer_buffer_addresses, lengths,
                                         TransferOpcode.Write)

    def batch_transfer_async_read(self, target_hostname: str, buffers: Sequence[int],
                                  peer_buffer_addresses: Sequence[int], lengths: Sequence[int],
                                  transport_hint: str = "") -> int:
        """From the peer."""
        return self.batch_transfer_async(target_hostname, buffers, peer_buffer_addresses, lengths,
                                         TransferOpcode.Read)

    def transfer_write_on_cuda(self, target_hostname: str, buffer: int, peer_buffer_address: int, length: int,
                               stream_ptr: int = 0, transport_hint: str = "") -> int:
        """To the peer, after the work that is on the stream; 0 once the bytes are there, or a code. 0: the default
        stream of the buffer's GPU."""
        return self._on_cuda(target_hostname, [buffer], [peer_buffer_address], [length], TransferOpcode.Write,
                             stream_ptr)

    def transfer_read_on_cuda(self, target_hostname: str, buffer: int, peer_buffer_address: int, length: int,
                              stream_ptr: int = 0, transport_hint: str = "") -> int:
        """From the peer, in the same way: what is put on the stream from then on sees the bytes."""
        return self._on_cuda(target_hostname, [buffer], [peer_buffer_address], [length], TransferOpcode.Read,
                             stream_ptr)

    def batch_transfer_write_on_cuda(self, target_hostname: str, buffers: Sequence[int],
                                     peer_buffer_addresses: Sequence[int], lengths: Sequence[int],
                                     stream_ptr: int = 0, transport_hint: str = "") -> int:
        """The same for several, to the peer."""
        return self._on_cuda(target_hostname, buffers, peer_buffer_addresses, lengths, TransferOpcode.Write,
                             stream_ptr)

    def batch_transfer_read_on_cuda(self, target_hostname: str, buffers: Sequence[int],
                                    peer_buffer_addresses: Sequence[int], lengths: Sequence[int],
                                    stream_ptr: int = 0, transport_hint: str = "") -> int:
        """The same for several, from the peer."""
        return self._on_cuda(target_hostname, buffers, peer_buffer_addresses, lengths, TransferOpcode.Read,
                             stream_ptr)

    def transfer_submit_write(self, target_hostname: str, buffer: int, peer_buffer_address: int, length: int) -> int:
        """A batch to be asked for; a negative code where it was not begun."""
        return self._submit(target_hostname, [buffer], [peer_buffer_address], [length], TransferOpcode.Write, None)

    def get_batch_transfer_status(self, batch_ids: Sequence[int]) -> int:
        """Waits: 0 when all are done, a code when one failed."""
        result = 0
        for batch in batch_ids:
            status = 0
            while status == 0:
                status = self._status(batch, _SLICE_MS)
            result = min(result, 0 if status == 1 else status)
        return result

    def transfer_check_status(self, batch_id: int) -> int:
        """1: done; 0: not yet; negative: failed. Once it is not 0 the batch is gone."""
        return self._status(batch_id, 0)

    def _status(self, batch: int, milliseconds: int) -> int:
        status = c.c_int()
        code = self._native.mooncake_mesh_engine_wait(self._engine, batch, milliseconds, c.byref(status), None)
        if code == _PENDING:
            return 0
        if code != 0:
            return code
        self._native.freeBatchID(self._engine, batch)
        if status.value == _COMPLETED:
            return 1
        self._forget_segments()
        return -1

    def _on_cuda(self, target: str, buffers: Sequence[int], peers: Sequence[int], lengths: Sequence[int],
                 opcode: TransferOpcode, stream: int) -> int:
        requests = self._requests(target, buffers, peers, lengths, opcode)
        if isinstance(requests, int):
            return requests
        status, batch = c.c_int(), c.c_uint64()
        code = self._native.mooncake_mesh_engine_transfer_on_stream(
            self._engine, requests, len(requests), address(stream), _SLICE_MS, c.byref(status), c.byref(batch))
        if code == _PENDING:
            return self.get_batch_transfer_status([batch.value])
        if code == 0 and status.value == _COMPLETED:
            return 0
        self._forget_segments()
        return code if code != 0 else -1

    def _requests(self, target: str, buffers: Sequence[int], peers: Sequence[int], lengths: Sequence[int],
                  opcode: TransferOpcode) -> Any:
        """What is to be moved, as C takes it, or a code."""
        count = len(buffers)
        if not count or count != len(peers) or count != len(lengths):
            return _INVALID
        segment = self._segment(target)
        if segment < 0:
            return segment
        return (Request * count)(*[
            Request(int(opcode), one, segment, there, size)
            for one, there, size in zip(addresses(buffers), addresses(peers), addresses(lengths))])

    def _submit(self, target: str, buffers: Sequence[int], peers: Sequence[int], lengths: Sequence[int],
                opcode: TransferOpcode, notify: Optional[TransferNotify]) -> int:
        requests = self._requests(target, buffers, peers, lengths, opcode)
        if isinstance(requests, int):
            return requests
        count = len(requests)
        batch = self._native.allocateBatchID(self._engine, count)
        if batch == (1 << 64) - 1:
            return -2
        if notify is None:
            code = self._native.submitTransfer(self._engine, batch, requests, count)
        else:
            code = self._native.submitTransferWithNotify(
                self._engine, batch, requests, count, NotifyMessage(notify.name.encode(), notify.msg.encode()))
        if code != 0:
            self._native.freeBatchID(self._engine, batch)
            self._forget_segments()
            return code
        return batch

    def _forget_segments(self) -> None:
        # The peer may have been replaced: who asks again asks who is there now.
        with self._lock:
            self._segments.clear()

    def _segment(self, name: str) -> int:
        with self._lock:
            known = self._segments.get(name)
        if known is None:
            known = self._native.openSegment(self._engine, name.encode())
            if known >= 0:
                with self._lock:
                    self._segments[name] = known
        return known

    # ---- more

    def get_notifies(self) -> List[TransferNotify]:
        """What has come since the last call."""
        count = c.c_int()
        messages = self._native.getNotifsFromEngine(self._engine, c.byref(count))
        if not messages:
            return []
        try:
            return [TransferNotify((messages[i].name or b"").decode(), (messages[i].msg or b"").decode())
                    for i in range(count.value)]
        finally:
            self._native.freeNotifsMsgBuf(messages, count.value)

    def send_probe(self, peer_server_name: str, *_: Any) -> int:
        """0: an engine answers to this name."""
        return self._native.mooncake_mesh_engine_probe(self._engine, peer_server_name.encode())

    def warmup_efa_segment(self, name: str) -> int:
        """-303: there is no such transport."""
        return self._native.warmupEfaSegment(self._engine, name.encode())

    def get_local_topology(self, device_name: Optional[str] = None) -> str:
        """Which devices serve which memory, as JSON."""
        data, size = c.c_void_p(), c.c_size_t()
        names = device_name.encode() if device_name else None
        code = self._native.mooncake_mesh_engine_topology(self._engine, names, c.byref(data), c.byref(size))
        return take(self._native, data, size.value).decode() if code >= 0 else ""

    def get_engine_ptr(self) -> int:
        """The engine as the functions of transfer_engine_c.h take it."""
        return self._engine or 0

    get_engine = get_engine_ptr
