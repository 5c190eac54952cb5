# SPDX-License-Identifier: Apache-2.0
"""A process that uses a GPU, by the double of the driver that MCM_LIBCUDA names; test_cuda.py runs it."""

import ctypes as c
import os
import sys
import threading

import mooncake_mesh
from mooncake.engine import TransferEngine

SIZE = (1 << 20) + 3


class Gpu:
    """The first device, used by this thread, and a stream of it."""

    def __init__(self):
        self.driver = c.CDLL(os.environ["MCM_LIBCUDA"])
        self.driver.double_slow.argtypes = (c.c_void_p, c.c_uint, c.c_void_p, c.c_uint, c.c_size_t)
        device, context, made = c.c_int(), c.c_void_p(), c.c_void_p()
        expect(self.driver.cuInit(0), 0)
        expect(self.driver.cuDeviceGet(c.byref(device), 0), 0)
        expect(self.driver.cuDevicePrimaryCtxRetain(c.byref(context), device), 0)
        expect(self.driver.cuCtxPushCurrent_v2(context), 0)
        expect(self.driver.cuStreamCreate(c.byref(made), 1), 0)
        self.stream = made.value

    def allocate(self, size):
        memory = c.c_void_p()
        expect(self.driver.cuMemAlloc_v2(c.byref(memory), c.c_size_t(size)), 0)
        return memory.value

    def peek(self, memory, size):
        into = c.create_string_buffer(size)
        expect(self.driver.double_peek(c.c_void_p(memory), into, c.c_size_t(size)), 1)
        return into.raw

    def poke(self, memory, data):
        expect(self.driver.double_poke(c.c_void_p(memory), data, c.c_size_t(len(data))), 1)

    def slow_kernel(self, stream, memory, value, size):
        """Runs a while, and then fills memory."""
        self.driver.double_slow(stream, 150, memory, value, size)


class Array:
    """Memory of a GPU as libraries for Python show it."""

    def __init__(self, memory, size):
        self.__cuda_array_interface__ = {"data": (memory, False), "typestr": "|u1", "shape": (size,), "version": 3}


class Stream:
    """A stream as torch has it."""

    def __init__(self, handle):
        self.cuda_stream = handle


def expect(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r}, not {wanted!r}")


def engines():
    """The calls of mooncake.engine, plain and on streams."""
    one, two = TransferEngine(), TransferEngine()
    for engine in (one, two):
        expect(engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", ""), 0)
    host = one.allocate_managed_buffer(4096)
    # Where CUDA has not been begun there is nothing to wait for, and no stream of it.
    peer = f"127.0.0.1:{two.get_rpc_port()}"
    there = two.allocate_managed_buffer(4096)
    expect(one.transfer_write_on_cuda(peer, host, there, 5), 0)
    expect(one.transfer_write_on_cuda(peer, host, there, 5, 4096), -6)
    gpu = Gpu()
    mine, others = gpu.allocate(SIZE), gpu.allocate(SIZE)
    expect(one.register_memory(mine, SIZE, "cpu:0"), -1)
    expect(one.register_memory(mine, SIZE, "cuda:0"), 0)
    expect(two.register_memory(others, SIZE), 0)

    gpu.poke(mine, bytes(range(100)) * 50)
    expect(one.transfer_sync_write(peer, mine, others, 5000), 0)
    expect(gpu.peek(others, 5000), bytes(range(100)) * 50)
    for stream in (gpu.stream, 0):
        gpu.slow_kernel(stream, mine, 7, SIZE)
        expect(one.transfer_write_on_cuda(peer, mine, others, SIZE, stream_ptr=stream), 0)
        expect(gpu.peek(others, SIZE), b"\7" * SIZE)
        gpu.slow_kernel(stream, mine, 8, SIZE)
        expect(one.transfer_read_on_cuda(peer, mine, others, 1000, stream), 0)
        expect(gpu.peek(mine, 1001), b"\7" * 1000 + b"\10")
        gpu.slow_kernel(stream, mine, 9, SIZE)
        expect(one.batch_transfer_write_on_cuda(peer, [mine, mine + 1000], [others + 2000, others], [1000, 1], stream),
               0)
        expect(gpu.peek(others + 1999, 3), b"\7\11\11")
        gpu.slow_kernel(stream, mine, 10, SIZE)
        expect(one.batch_transfer_read_on_cuda(peer, [mine], [others + 2000], [2], stream_ptr=stream,
                                               transport_hint="tcp"), 0)
        expect(gpu.peek(mine, 3), b"\11\11\12")
    expect(one.transfer_write_on_cuda(peer, mine, 4096, 5), -1)
    expect(one.transfer_write_on_cuda(peer, others + SIZE, others, 5), -3)
    expect(one.transfer_write_on_cuda(peer, mine, others, 5, 4096), -1)
    expect(one.batch_transfer_write_on_cuda(peer, [mine], [others], []), -1)
    expect(one.batch_transfer_read_on_cuda("127.0.0.1:1", [mine], [others], [1]) < 0, True)
    expect(one.unregister_memory(mine), 0)


def mesh():
    """The calls of mooncake_mesh that take a stream."""
    gpu = Gpu()
    mine, others = gpu.allocate(SIZE), gpu.allocate(SIZE)
    source, target = Array(mine, SIZE), Array(others, SIZE)
    with mooncake_mesh.open(registry="embedded", segment_size="64MiB") as client:
        for number, stream in enumerate((gpu.stream, Stream(gpu.stream), 0, Stream(0))):
            on = getattr(stream, "cuda_stream", stream)
            gpu.slow_kernel(on, mine, 20 + number, SIZE)
            client.put(f"k{number}", source, stream=stream)
            gpu.slow_kernel(on, mine, 30 + number, SIZE)
            client.put_parts(f"p{number}", [source], mooncake_mesh.PutOptions(replicas=1), stream=stream)
            gpu.slow_kernel(on, mine, 40 + number, SIZE)
            expect(client.put_batch([f"b{number}"], [source], stream=stream), [0])
            for call, key, base in ((client.get_into, "k", 20), (lambda k, b, stream: client.get_parts(
                    k, [b], stream=stream), "p", 30), (lambda k, b, stream: client.get_batch_into(
                    [k], [b], stream=stream)[0], "b", 40)):
                gpu.slow_kernel(on, others, 1, SIZE)
                expect(call(f"{key}{number}", target, stream=stream), SIZE)
                expect(gpu.peek(others, SIZE), bytes([base + number]) * SIZE)
            gpu.slow_kernel(on, others, 1, SIZE)
            expect(client.get_range(f"k{number}", 5, Array(others, 10), stream=stream), 10)
            expect(gpu.peek(others, 11), bytes([20 + number]) * 10 + b"\1")
        for wrong in ("7", 1.5, True, object()):
            try:
                client.put("wrong", b"", stream=wrong)
            except TypeError:
                continue
            raise AssertionError(f"{wrong!r} is no stream")
        try:
            client.put("wrong", source, stream=4096)
        except mooncake_mesh.MeshError as failure:
            expect("cuEventRecord" in failure.text, True)
        else:
            raise AssertionError("4096 is no stream")


if __name__ == "__main__":
    # Not the thread that loaded the driver's library: each has a device of its own.
    worker = threading.Thread(target={"engines": engines, "mesh": mesh}[sys.argv[1]])
    failed = []
    threading.excepthook = lambda what: (failed.append(1), sys.__excepthook__(*what[:3]))
    worker.start()
    worker.join()
    print("failed" if failed else "ok")
