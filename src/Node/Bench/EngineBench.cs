// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// "bench transfer --transport engine": batches of 16 requests of the transfer engine to another process, one batch at
/// a time, both sides rotating over more memory than any cache holds.
/// </summary>
internal sealed class EngineBench : IDisposable
{
    /// <summary>"bench-peer" as the other side.</summary>
    internal const string Role = "engine";

    private const int Batch = 16;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly int[] Blocks = [64 << 10, 256 << 10, 1 << 20];

    private readonly BenchMemory _memory = new(MemoryBench.Rotation);
    private readonly PeerProcess _peer;
    private readonly string _address;
    private readonly ulong _plain;
    private readonly ulong _managed;

    private EngineBench(PeerProcess peer, string told)
    {
        string[] words = told.Split(' ');
        _peer = peer;
        _address = words[0];
        _plain = ulong.Parse(words[1], CultureInfo.InvariantCulture);
        _managed = ulong.Parse(words[2], CultureInfo.InvariantCulture);
        MemoryBench.Fill(_memory.Range);
    }

    /// <summary>Runs it.</summary>
    internal static async Task RunAsync(BenchReport report)
    {
        var (peer, told) = await PeerProcess.StartAsync(BenchPeers.Command, Role);
        using var bench = new EngineBench(peer, told);
        using RawPeer raw = await RawPeer.StartAsync();
        await bench.OverTcpAsync(report, raw);
        await bench.ByKernelAsync(report);
        await bench.BySharedMemoryAsync(report);
    }

    /// <summary>The other side: memory of both kinds, until its input ends.</summary>
    internal static async Task ServeAsync(TextReader input, Action<string> say)
    {
        using var memory = new BenchMemory(MemoryBench.Rotation);
        MemoryBench.Fill(memory.Range);
        using TransferEngine engine = Open(TransferTransports.All);
        nint managed = engine.AllocateManaged((ulong)MemoryBench.Rotation).Value;
        MemoryBench.Fill(memory.Range with { Address = managed });
        Register(engine, memory);
        say(string.Create(CultureInfo.InvariantCulture, $"{engine.LocalAddress} {memory.Range.Address} {managed}"));
        while (await input.ReadLineAsync() is not null)
        {
        }
    }

    public void Dispose()
    {
        _peer.Dispose();
        _memory.Dispose();
    }

    private static TransferEngine Open(TransferTransports transports) => TransferEngine.Create(
        new TransferEngineOptions { LocalName = "127.0.0.1", Transports = transports }).Value;

    private static void Register(TransferEngine engine, BenchMemory memory)
    {
        if (engine.Register(memory.Range.Address, (ulong)memory.Range.Length) is { } error)
            throw new TransferException(error);
    }

    private static string Name(string transport, TransferOpcode opcode, int block) => string.Create(
        CultureInfo.InvariantCulture,
        $"engine.{transport}.{(opcode == TransferOpcode.Read ? "read" : "write")}.{block >> 10}KiB.x{Batch}");

    private async Task OverTcpAsync(BenchReport report, RawPeer raw)
    {
        using TransferEngine engine = Open(TransferTransports.Tcp);
        Register(engine, _memory);
        int segment = engine.OpenSegment(_address).Value;
        foreach (int block in Blocks)
        {
            foreach (TransferOpcode opcode in (TransferOpcode[])[TransferOpcode.Write, TransferOpcode.Read])
            {
                bool write = opcode == TransferOpcode.Write;
                double Raw(int size) => write ? raw.Send(_memory.Range, size) : raw.Receive(_memory.Range, size);
                Task<double> Ours() => Task.FromResult(Move(engine, segment, opcode, _plain, block));
                report.Add(BenchRow.Of(Name("tcp", opcode, block), "GB/s",
                    await Alternating.RunAsync(Ours, () => Task.FromResult(Raw(block)))));
                report.Add(BenchRow.Of(Name("tcp", opcode, block) + ".to_whole", "GB/s",
                    await Alternating.RunAsync(Ours, () => Task.FromResult(Raw(block * Batch)))));
            }
        }
    }

    private async Task ByKernelAsync(BenchReport report)
    {
        using TransferEngine engine = Open(TransferTransports.Cma | TransferTransports.Tcp);
        Register(engine, _memory);
        int segment = engine.OpenSegment(_address).Value;
        foreach (int block in Blocks)
        {
            foreach (TransferOpcode opcode in (TransferOpcode[])[TransferOpcode.Write, TransferOpcode.Read])
            {
                report.Add(BenchRow.Of(Name("cma", opcode, block), "GB/s", await Alternating.RunAsync(
                    () => Task.FromResult(Move(engine, segment, opcode, _plain, block)),
                    () => Task.FromResult(Kernel(opcode, block)))));
            }
        }
    }

    private async Task BySharedMemoryAsync(BenchReport report)
    {
        using TransferEngine engine = Open(TransferTransports.Shm | TransferTransports.Tcp);
        Register(engine, _memory);
        int segment = engine.OpenSegment(_address).Value;
        // Memory of the same kind, of this process: what it is made of decides how fast any copy of it is.
        nint own = engine.AllocateManaged((ulong)MemoryBench.Rotation).Value;
        MemoryBench.Fill(_memory.Range with { Address = own });
        foreach (int block in Blocks)
        {
            foreach (TransferOpcode opcode in (TransferOpcode[])[TransferOpcode.Write, TransferOpcode.Read])
            {
                report.Add(BenchRow.Of(Name("shm", opcode, block), "GB/s", await Alternating.RunAsync(
                    () => Task.FromResult(Move(engine, segment, opcode, _managed, block)),
                    () => Task.FromResult(Copy(opcode, own, block)))));
            }
        }
    }

    /// <summary>Moves all of the memory in batches; GB/s.</summary>
    private double Move(TransferEngine engine, int segment, TransferOpcode opcode, ulong target, int block)
    {
        var requests = new TransferRequest[Batch];
        long start = Stopwatch.GetTimestamp();
        for (long at = 0; at < _memory.Range.Length; at += (long)Batch * block)
        {
            for (int i = 0; i < Batch; i++)
            {
                long place = at + ((long)i * block);
                requests[i] = new TransferRequest(opcode, _memory.Range.Address + (nint)place, segment,
                    target + (ulong)place, (ulong)block);
            }

            ulong batch = engine.AllocateBatch(Batch).Value;
            if (engine.Submit(batch, requests) is { } error)
                throw new TransferException(error);
            TransferStatus status = engine.Wait(batch, Limit).Value;
            engine.FreeBatch(batch);
            if (status.State != TransferState.Completed)
            {
                throw new MeshException(new MeshError(MeshErrorCode.Unavailable, "bench",
                    $"a batch ended {status.State}"));
            }
        }

        return _memory.Range.Length / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    /// <summary>The same by a bare loop of the kernel's copies.</summary>
    private unsafe double Kernel(TransferOpcode opcode, int block)
    {
        long start = Stopwatch.GetTimestamp();
        for (long at = 0; at < _memory.Range.Length; at += block)
        {
            var local = new iovec { iov_base = (void*)(_memory.Range.Address + (nint)at), iov_len = (nuint)block };
            var remote = new iovec { iov_base = (void*)(_plain + (ulong)at), iov_len = (nuint)block };
            nint moved = opcode == TransferOpcode.Read
                ? LibC.process_vm_readv(_peer.Id, &local, 1, &remote, 1, 0)
                : LibC.process_vm_writev(_peer.Id, &local, 1, &remote, 1, 0);
            if (moved != block)
                throw new IOException($"the kernel copied {moved} bytes, errno {Marshal.GetLastPInvokeError()}");
        }

        return _memory.Range.Length / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    private double Copy(TransferOpcode opcode, nint other, int block)
    {
        bool read = opcode == TransferOpcode.Read;
        long start = Stopwatch.GetTimestamp();
        for (long at = 0; at < _memory.Range.Length; at += block)
        {
            nint here = _memory.Range.Address + (nint)at;
            nint there = other + (nint)at;
            MemoryBench.CopyPlain(read ? there : here, read ? here : there, block);
        }

        return _memory.Range.Length / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }
}
