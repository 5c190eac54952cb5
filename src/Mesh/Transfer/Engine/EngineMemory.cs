// SPDX-License-Identifier: Apache-2.0

using System.Text.RegularExpressions;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Engine.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>
/// Registers memory, and ends registrations: not before every transfer that uses the memory has let go of it.
/// Thread-safe.
/// </summary>
/// <param name="memory">What is registered.</param>
/// <param name="server">Serves the transfers of peers.</param>
/// <param name="sessions">Processes of this host that copy by themselves.</param>
/// <param name="works">This engine's own transfers.</param>
/// <param name="cards">The cards.</param>
/// <param name="devices">Says which memory is a device's.</param>
/// <param name="time">Clock.</param>
internal sealed partial class EngineMemory(RegisteredMemory memory, EngineServer server, ServedSessions sessions,
    ActiveWorks works, EngineCardPart cards, EngineDevices devices, TimeProvider time)
{
    /// <summary>Most ranges of the engine's own allocator.</summary>
    public const int MostManaged = 4096;

    /// <summary>How long transfers under way may go on before they are broken.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    private const string BlockName = "mooncake-engine-memory";
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(1);
    private int _managed;

    /// <summary>Registers a range.</summary>
    public TransferError? Register(ulong address, ulong length, string location, bool isRemote)
    {
        if (RegisteredMemory.Check(address, length) is { } invalid)
            return invalid;
        if (!Location().IsMatch(location))
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"location '{location}': cpu:N, cuda:N and * are legal");
        }

        var device = devices.Find(address, length, location);
        return device.Succeeded
            ? Add(address, length, device.Value?.Location ?? location, isRemote, block: null, device.Value)
            : device.Error;
    }

    /// <summary>Registers all ranges, or none.</summary>
    public TransferError? Register(ReadOnlySpan<BufferEntry> buffers, string location)
    {
        for (int i = 0; i < buffers.Length; i++)
        {
            if (Register((ulong)buffers[i].Address, buffers[i].Length, location, isRemote: true) is not { } error)
                continue;
            while (--i >= 0)
                Unregister((ulong)buffers[i].Address);
            return error;
        }

        return null;
    }

    /// <summary>Ends the registration of a user's range.</summary>
    public TransferError? Unregister(ulong address)
    {
        if (memory.At(address) is not { } region)
            return NotRegistered(address);
        return region.Block is null
            ? End(region)
            : new TransferError(TransferErrorCode.InvalidArgument,
                $"memory at 0x{address:x} is the engine's own: it is freed, not unregistered");
    }

    /// <summary>Allocates and registers memory of the engine's own.</summary>
    public TransferResult<nint> Allocate(ulong length)
    {
        if (length is 0 or > SegmentOptions.MaxLength)
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"memory of {length} bytes: 1 to {SegmentOptions.MaxLength} are legal");
        }

        if (Interlocked.Increment(ref _managed) > MostManaged)
        {
            Interlocked.Decrement(ref _managed);
            return new TransferError(TransferErrorCode.TooManyRequests,
                $"{MostManaged} ranges are allocated, the limit of an engine");
        }

        var block = MemoryBlock.Allocate(BlockName, (long)length, hugePages: true);
        var error = block.Succeeded
            ? Publish(block.Value, length)
            : new TransferError(TransferErrorCode.Memory, block.Error!.Message);
        if (error is null)
            return AddressOf(block.Value);
        Interlocked.Decrement(ref _managed);
        return error;
    }

    /// <summary>Frees memory of the engine's own.</summary>
    public TransferError? Free(ulong address, ulong length)
    {
        if (memory.At(address) is not { Block: { } block } region)
            return NotRegistered(address);
        if (region.Length != length)
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"memory at 0x{address:x} has {region.Length} bytes, not {length}");
        }

        if (End(region) is { } error)
            return error;
        block.Dispose();
        Interlocked.Decrement(ref _managed);
        return null;
    }

    /// <summary>Ends all registrations and frees the engine's own memory.</summary>
    public void EndAll()
    {
        foreach (var region in memory.Regions)
            memory.Close(region);
        bool stuck = false;
        foreach (var region in memory.Regions)
        {
            // A process of this host that stands still in the midst of a copy is not waited for again and again.
            stuck = stuck || End(region) is { Code: TransferErrorCode.BatchBusy };
            if (!stuck)
                region.Block?.Dispose();
        }
    }

    private TransferError? Add(ulong address, ulong length, string location, bool isRemote, MemoryBlock? block,
        RegionDevice? device = null)
    {
        if (memory.Add(address, length, location, isRemote, block, device) is { } error)
            return error;
        if (memory.At(address) is not { } region || cards.Register(region) is not { } refused)
            return null;
        End(region);
        return refused;
    }

    private TransferError? Publish(MemoryBlock block, ulong length)
    {
        var error = Add((ulong)AddressOf(block), length, "*", isRemote: true, block);
        if (error is not null)
            block.Dispose();
        return error;
    }

    private static unsafe nint AddressOf(MemoryBlock block) => (nint)block.Pointer;

    private TransferError? End(RegisteredRegion region)
    {
        ulong sequence = memory.Close(region);
        if (!IsFree(region, sequence, Grace))
        {
            server.Break(region);
            works.Break(region);
            if (!IsFree(region, sequence, Grace))
            {
                return new TransferError(TransferErrorCode.BatchBusy,
                    $"memory at 0x{region.Address:x} is still copied from or to by "
                    + (region.Device is null ? "a process of this host" : region.Device.Location));
            }
        }

        EngineCardPart.Release(region);
        return memory.Remove(region) ? null : NotRegistered(region.Address);
    }

    private bool IsFree(RegisteredRegion region, ulong sequence, TimeSpan limit)
    {
        long start = time.GetTimestamp();
        var spin = default(SpinWait);
        while (!region.IsIdle || !sessions.AreBeyond(sequence))
        {
            if (time.GetElapsedTime(start) >= limit)
                return false;
            if (spin.NextSpinWillYield)
                Thread.Sleep(Poll);
            else
                spin.SpinOnce();
        }

        return true;
    }

    private static TransferError NotRegistered(ulong address) =>
        new(TransferErrorCode.AddressNotRegistered, $"no memory is registered at 0x{address:x}");

    [GeneratedRegex(@"^(\*|(cpu|cuda):(0|[1-9][0-9]{0,3}))$")]
    private static partial Regex Location();
}
