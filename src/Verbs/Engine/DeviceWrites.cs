// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Mesh;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Engine;

/// <summary>
/// Has everybody see what cards have written into memory of devices, before anybody is told that it is there. Here the
/// device's driver does that. At a peer nobody hears of our writes: a byte is read there over each queue pair that
/// wrote, as a card's read does not pass its writes on their way to the device (PCI Express Base Specification,
/// "Transaction Ordering"). Thread-safe.
/// </summary>
internal sealed class DeviceWrites(RdmaEngine engine, ILogger log) : IDisposable
{
    private readonly Lock _gate = new();
    private Task<LocalMemory?>? _landing;
    private nint _bytes;

    /// <summary>What is to be read after a batch; nothing where it wrote to no device.</summary>
    /// <returns>The reads; null: the cards have no memory that they could land in.</returns>
    public async ValueTask<RdmaRequest[]?> ReadsAfterAsync(RdmaBatch batch)
    {
        var writes = batch.DeviceWrites;
        if (writes.Count == 0)
            return [];
        if (await LandingAsync() is not { } landing)
            return null;
        var reads = new RdmaRequest[writes.Count];
        for (int i = 0; i < reads.Length; i++)
        {
            reads[i] = new RdmaRequest(WorkKind.Read, landing.Range.Address, landing, writes[i].Remote,
                writes[i].Offset, 1, writes[i].Over);
        }

        return reads;
    }

    /// <summary>Flushes each device here that pieces were read into by cards.</summary>
    /// <param name="entries">The pieces; those of a device that cannot be flushed have not come.</param>
    /// <param name="count">Number of them.</param>
    public async ValueTask FlushAsync(EngineEntry[] entries, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (!entries[i].IsWithCards || entries[i].Region.Device is not { } device
                || IsBefore(entries.AsSpan(0, i), device))
                continue;
            var outcome = await new DeviceFlush(engine.Time, log).RunAsync(device.Itself, EngineWork.DevicePatience);
            if (outcome != TransferOutcome.Done)
                Refuse(entries.AsSpan(i, count - i), device, outcome);
        }
    }

    /// <summary>Frees what reads landed in; after the cards have been closed.</summary>
    public unsafe void Dispose() => NativeMemory.AlignedFree((void*)Interlocked.Exchange(ref _bytes, 0));

    private static bool IsBefore(ReadOnlySpan<EngineEntry> entries, RegionDevice device)
    {
        for (int i = entries.Length - 1; i >= 0; i--)
        {
            if (entries[i].IsWithCards && entries[i].Region.Device == device)
                return true;
        }

        return false;
    }

    private static void Refuse(Span<EngineEntry> entries, RegionDevice device, TransferOutcome outcome)
    {
        foreach (ref var entry in entries)
        {
            if (!entry.IsWithCards || entry.Region.Device != device)
                continue;
            entry.IsWithCards = false;
            entry.Status = outcome == TransferOutcome.Late ? EntryStatus.DeviceFailed : EntryStatus.Unreachable;
        }
    }

    /// <summary>A page that the cards read single bytes into, which nobody looks at.</summary>
    private Task<LocalMemory?> LandingAsync()
    {
        lock (_gate)
            return _landing ??= Task.Run(RegisterAsync);
    }

    private async Task<LocalMemory?> RegisterAsync()
    {
        nint page = Allocate();
        var memory = await engine.RegisterAsync(new NativeRange(page, Environment.SystemPageSize),
            MemoryAccess.LocalWrite, isShared: false);
        if (memory.Succeeded)
        {
            _bytes = page;
            return memory.Value;
        }

        log.LogWarning("engine_writes_no_device reason={Reason}", memory.Error!.Message);
        Free(page);
        lock (_gate)
            _landing = null;
        return null;
    }

    private static unsafe nint Allocate() => (nint)NativeMemory.AlignedAlloc((nuint)Environment.SystemPageSize,
        (nuint)Environment.SystemPageSize);

    private static unsafe void Free(nint page) => NativeMemory.AlignedFree((void*)page);
}
