// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// Picks, per request, the best transport that reaches the other end, and falls back to the next when it does not.
/// </summary>
/// <param name="transports">Best first.</param>
/// <param name="time">Clock of the deadlines, which all transports tried for one transfer share.</param>
public sealed class TransferPlan(IReadOnlyList<ITransport> transports, TimeProvider time) : IAsyncDisposable
{
    private const double BytesPerSecond = 64 << 20;
    private readonly long[] _bytesRead = new long[transports.Count];
    private readonly long[] _bytesWritten = new long[transports.Count];

    /// <summary>The transports, best first.</summary>
    public IReadOnlyList<ITransport> Transports => transports;

    /// <summary>Where extents of objects in several are asked for; null: such objects cannot be read.</summary>
    internal IExtentLists? ExtentLists { get; init; }

    /// <summary>The threads that wait for devices; null: no memory of a caller is a device's.</summary>
    internal DeviceQueues? Devices { get; init; }

    /// <summary>Shared memory with nodes of this host, or null.</summary>
    internal ShmTransport? Shared { get; init; }

    /// <summary>The cards, or null.</summary>
    internal IVerbsTransport? Cards { get; init; }

    /// <summary>The time a call may take by default: 1 s, and 1 s more for each 64 MiB.</summary>
    public static TimeSpan DefaultLimit(long bytes) => TimeSpan.FromSeconds(1 + (bytes / BytesPerSecond));

    /// <summary>Bytes read and written by each transport.</summary>
    public IEnumerable<(string Name, long Read, long Written)> Bytes()
    {
        for (int i = 0; i < transports.Count; i++)
            yield return (transports[i].Name, Volatile.Read(ref _bytesRead[i]), Volatile.Read(ref _bytesWritten[i]));
    }

    /// <summary>Reads an extent.</summary>
    public async Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        if ((read.SegmentId & Replica.Scattered) != 0)
        {
            return ExtentLists is null
                ? TransferOutcome.Unreachable
                : await new ScatteredReads(this, ExtentLists, time).RunAsync(read,
                    read.SegmentId & ~Replica.Scattered, destination, timeout, cancel);
        }

        long start = time.GetTimestamp();
        for (int i = 0; i < transports.Count; i++)
        {
            if (read.Length > transports[i].MaxBytes || !transports[i].CanRead(read.Node))
                continue;
            var left = time.LeftOf(timeout, start);
            var outcome = destination.Device is not null && !transports[i].TakesDevice(destination)
                ? await new StagedTransfer(transports[i], Devices!, time).ReadAsync(read, destination, left, cancel)
                : await transports[i].ReadAsync(read, destination, left, cancel);
            if (outcome == TransferOutcome.Done)
                Interlocked.Add(ref _bytesRead[i], read.Length);
            if (outcome != TransferOutcome.Unreachable)
                return outcome;
        }

        return TransferOutcome.Unreachable;
    }

    /// <summary>Carries the bytes of a reservation to its holder.</summary>
    public async Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        long start = time.GetTimestamp();
        for (int i = 0; i < transports.Count; i++)
        {
            if (source.Length > transports[i].MaxBytes || !transports[i].CanWrite(write))
                continue;
            var left = time.LeftOf(timeout, start);
            var outcome = source.Device is not null && !transports[i].TakesDevice(source)
                ? await new StagedTransfer(transports[i], Devices!, time).WriteAsync(write, source, left, cancel)
                : await transports[i].WriteAsync(write, source, left, cancel);
            if (outcome == TransferOutcome.Done)
                Interlocked.Add(ref _bytesWritten[i], source.Length);
            if (outcome != TransferOutcome.Unreachable)
                return outcome;
        }

        return TransferOutcome.Unreachable;
    }

    /// <summary>Why nothing carries a reservation's bytes to its holder; null: something may.</summary>
    internal MeshError? WhyNot(in ExtentWrite write, long bytes)
    {
        foreach (var transport in transports)
        {
            if (bytes <= transport.MaxBytes && transport.CanWrite(write))
                return null;
        }

        return NoWay("put:transport", write.Node);
    }

    /// <summary>Why nothing reads so many bytes from a holder; null: something may.</summary>
    internal MeshError? WhyNot(NodeRecord holder, long bytes)
    {
        foreach (var transport in transports)
        {
            if (bytes <= transport.MaxBytes && transport.CanRead(holder))
                return null;
        }

        return NoWay("get:transport", holder);
    }

    private MeshError NoWay(string stage, NodeRecord holder)
    {
        string here = "", there = "";
        foreach (var transport in transports)
            here += $" {transport.Name}";
        foreach (string transport in holder.Segments.Count > 0 ? holder.Segments[0].Transports : [])
            there += $" {transport}";
        return new MeshError(MeshErrorCode.InvalidArgument, stage, $"no transport reaches {holder.NodeId}: "
            + $"in use here are{here}, it offers{(there.Length > 0 ? there : " none")}; the setting is 'transport'");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var transport in transports)
            await transport.DisposeAsync();
    }
}
